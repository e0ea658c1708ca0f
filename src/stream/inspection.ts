import type { JetStreamAccountStats, StreamInfo } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { JetStreamApi } from "./jetstream_api.ts";
import { Link } from "./link.ts";
import type { StreamSettings, StreamState } from "./replication_log.ts";
import { Requests } from "./requests.ts";
import {
  differencesOf,
  isOfAnotherCluster,
  looksOurs,
  shardOf,
  stateOf,
  subjectFilter,
} from "./stream_layout.ts";
import { toStreamError } from "./transience.ts";

/** One stream of a cluster, as an operator wants to know it. */
export interface StreamReport extends StreamState {
  /** What it keeps at most. */
  readonly maxMessages: number;
  readonly bytes: number;
  /** How it differs from the configuration, one sentence each. */
  readonly differences: readonly string[];
  /** Settings that the program needs and somebody has changed, one sentence each. */
  readonly faults: readonly string[];
  /** Servers that hold a copy of it and cannot be reached. */
  readonly offline: readonly string[];
}

/** The streams on the subjects of a cluster. */
export interface StreamReports {
  /** Those that are used, one a shard, by shard. */
  readonly streams: readonly StreamReport[];
  /** Names of further streams on the subject of one that is used. */
  readonly twins: readonly string[];
  /** Names of streams that another cluster has on these subjects. */
  readonly foreign: readonly string[];
  /** Names of streams whose servers do not answer. */
  readonly unreachable: readonly string[];
}

/** What a server's clock showed, and what this machine's did. */
export interface ClockReading {
  /** How far this machine's clock is ahead, milliseconds; negative when it is behind. */
  readonly aheadMs: number;
  /** The difference may be this much more or less. */
  readonly uncertainMs: number;
}

/** Looks at JetStream without changing anything. Rejections are StreamErrors, or the signal's reason. The connection stays its caller's. */
export class JetStreamInspector implements Disposable {
  readonly #settings: StreamSettings;
  readonly #link: Link;
  readonly #requests: Requests;
  readonly #api: JetStreamApi;

  constructor(connection: NatsConnection, settings: StreamSettings) {
    this.#settings = settings;
    this.#link = new Link(connection);
    this.#requests = new Requests(connection, this.#link);
    this.#api = new JetStreamApi(this.#requests);
  }

  async account(signal: AbortSignal): Promise<JetStreamAccountStats> {
    return await this.#ask(
      "Cannot ask for the JetStream account",
      () => this.#api.accountInfo(signal),
      signal,
    );
  }

  async streams(signal: AbortSignal): Promise<StreamReports> {
    const { streams, missing } = await this.#ask(
      "Cannot list streams",
      () => this.#api.listStreams(subjectFilter(this.#settings), signal),
      signal,
    );
    return this.#sort(streams, missing);
  }

  /** Names of streams that are called as those of this cluster are, and have other subjects. */
  async strangers(signal: AbortSignal): Promise<string[]> {
    const { streams } = await this.#ask(
      "Cannot list streams",
      () => this.#api.listStreams(">", signal),
      signal,
    );
    return streams.map(({ config }) => config)
      .filter(({ name, subjects }) =>
        looksOurs(this.#settings, name) && shardOf(this.#settings, subjects) === undefined
      )
      .map(({ name }) => name);
  }

  /** Undefined when there is no stream to ask for, or the server is too old to tell. */
  async clock(signal: AbortSignal): Promise<ClockReading | undefined> {
    const [first] = (await this.streams(signal)).streams;
    if (first === undefined) return undefined;
    const before = Date.now();
    const info = await this.#ask(
      "Cannot look at a stream",
      () => this.#api.streamInfo(first.name, signal),
      signal,
    );
    const after = Date.now();
    const told = Date.parse((info as StreamInfo & { ts?: string }).ts ?? "");
    if (Number.isNaN(told)) return undefined;
    return { aheadMs: (before + after) / 2 - told, uncertainMs: (after - before) / 2 + 1 };
  }

  [Symbol.dispose](): void {
    this.#requests[Symbol.dispose]();
    this.#link[Symbol.dispose]();
  }

  #sort(infos: readonly StreamInfo[], missing: readonly string[]): StreamReports {
    const settings = this.#settings;
    const used = new Map<number, StreamInfo>();
    const [twins, foreign]: [string[], string[]] = [[], []];
    for (const info of infos.toSorted((a, b) => a.created < b.created ? -1 : 1)) {
      const shard = shardOf(settings, info.config.subjects);
      if (shard === undefined) continue;
      if (isOfAnotherCluster(settings, info.config.name, shard)) foreign.push(info.config.name);
      else if (used.has(shard)) twins.push(info.config.name);
      else used.set(shard, info);
    }
    return {
      streams: [...used].sort(([a], [b]) => a - b).map(([shard, info]) => report(settings, info, shard)),
      twins,
      foreign,
      unreachable: missing.filter((name) => looksOurs(settings, name)),
    };
  }

  async #ask<T>(action: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      throw toStreamError(action, error);
    }
  }
}

function report(settings: StreamSettings, info: StreamInfo, shard: number): StreamReport {
  const { config, state, cluster } = info;
  return {
    ...stateOf(info, shard),
    maxMessages: config.max_msgs,
    bytes: state.bytes,
    differences: differencesOf(settings, config),
    faults: faultsOf(info),
    offline: (cluster?.replicas ?? []).filter(({ offline }) => offline).map(({ name }) => name),
  };
}

/** Settings under which messages may vanish, or a node cannot read. */
function faultsOf({ config }: StreamInfo): string[] {
  const name = `Stream "${config.name}"`;
  const wrong: [boolean, string][] = [
    [config.retention !== "limits", `${name} has retention = ${config.retention} in place of limits`],
    [config.discard !== "old", `${name} has discard = ${config.discard}: once full it refuses changes`],
    [config.max_age > 0, `${name} forgets messages after ${Math.round(config.max_age / 1e9)} s (max_age)`],
    [config.max_bytes > 0, `${name} forgets messages beyond ${config.max_bytes} bytes (max_bytes)`],
    [config.storage !== "file", `${name} is kept in memory: a restart of the server loses it`],
    [config.sealed === true, `${name} is sealed: it takes no messages`],
  ];
  return wrong.filter(([is]) => is).map(([, text]) => text);
}
