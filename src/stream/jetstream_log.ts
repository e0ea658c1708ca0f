import type { PubAck, StreamInfo } from "@nats-io/jetstream";
import { ClosedConnectionError, headers, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import { JetStreamApi, parseAnswer } from "./jetstream_api.ts";
import { Link } from "./link.ts";
import type {
  KnownPast,
  LogMessage,
  OutgoingMessage,
  PublishAck,
  ReplicationLog,
  StreamSettings,
  StreamState,
} from "./replication_log.ts";
import { Requests } from "./requests.ts";
import {
  differencesOf,
  isOfAnotherCluster,
  looksOurs,
  shardOf,
  stateOf,
  streamConfigOf,
  streamNameOf,
  subjectFilter,
  subjectOf,
} from "./stream_layout.ts";
import { readStream } from "./stream_reader.ts";
import { subjectTaken } from "./stream_refusals.ts";
import { API_ERROR, isApiError, toStreamError } from "./transience.ts";

/** The header by which JetStream knows a message that it has stored already. */
const HEADER_MESSAGE_ID = "Nats-Msg-Id";

/** What a NATS server takes when it does not say. */
const DEFAULT_MAX_PAYLOAD = 1 << 20;

export interface JetStreamLogOptions {
  /** Ends everything that this log does. */
  readonly signal: AbortSignal;
  /** Told once for each way in which a stream differs from the configuration. */
  readonly onDifference?: (text: string) => void;
}

/** The replication log in JetStream. The connection stays its caller's. */
export class JetStreamLog implements ReplicationLog {
  readonly #connection: NatsConnection;
  readonly #settings: StreamSettings;
  readonly #options: JetStreamLogOptions;
  readonly #closing = new AbortController();
  /** Ends everything that this log does: the caller's signal, or that it was closed. */
  readonly #signal: AbortSignal;
  readonly #link: Link;
  readonly #publications: Requests;
  readonly #calls: Requests;
  readonly #api: JetStreamApi;
  readonly #toldDifferences = new Set<string>();
  #maxPayload = DEFAULT_MAX_PAYLOAD;

  private constructor(connection: NatsConnection, settings: StreamSettings, options: JetStreamLogOptions) {
    this.#connection = connection;
    this.#settings = settings;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#closing.signal]);
    this.#link = new Link(connection);
    this.#publications = new Requests(connection, this.#link);
    // Apart from the publications, so that a full window of them does not hold up a reader.
    this.#calls = new Requests(connection, this.#link);
    this.#api = new JetStreamApi(this.#calls);
  }

  // deno-lint-ignore require-await -- every adapter opens the same way, and others have to wait
  static async open(
    connection: NatsConnection,
    settings: StreamSettings,
    options: JetStreamLogOptions,
  ): Promise<JetStreamLog> {
    options.signal.throwIfAborted();
    return new JetStreamLog(connection, settings, options);
  }

  /** Another server after a reconnection may take more or less. */
  get maxPayload(): number {
    this.#maxPayload = this.#connection.info?.max_payload ?? this.#maxPayload;
    return this.#maxPayload;
  }

  async ensureStreams(): Promise<StreamState[]> {
    const action = "Failed to create streams";
    let found = await this.#find(action);
    for (let shard = 1; shard <= this.#settings.shards; shard++) {
      if (!found.has(shard)) await this.#create(shard);
    }
    // A stream that was created a moment ago may have got a twin at the same time: look again before it is used.
    found = await this.#find(action);
    for (const [canonical, ...twins] of found.values()) await this.#dropTwins(canonical, twins);
    const reconciled = new Map<number, Streams>();
    for (const [shard, [info]] of found) reconciled.set(shard, [await this.#reconcile(info)]);
    return toStates(reconciled);
  }

  async streams(): Promise<StreamState[]> {
    return toStates(await this.#find("Cannot list streams"));
  }

  async publish(shard: number, message: OutgoingMessage): Promise<PublishAck> {
    const subject = subjectOf(this.#settings, shard);
    try {
      const request = { headers: toHeaders(message) };
      const answer = await this.#publications.request(subject, message.data, request);
      const { stream, seq, duplicate } = parseAnswer<PubAck>(answer.string());
      return { stream, sequence: seq, duplicate: duplicate === true };
    } catch (error) {
      throw toStreamError(`Cannot publish to "${subject}"`, error);
    }
  }

  read(
    stream: string,
    from: number,
    signal: AbortSignal,
    known?: KnownPast,
  ): AsyncIterable<readonly LogMessage[]> {
    const context = { connection: this.#connection, link: this.#link, api: this.#api };
    return readStream(context, { stream, from, known }, AbortSignal.any([signal, this.#signal]));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(toStreamError("The log is closed", new ClosedConnectionError()));
    this.#publications[Symbol.dispose]();
    this.#calls[Symbol.dispose]();
    this.#link[Symbol.dispose]();
    return Promise.resolve();
  }

  async #find(action: string): Promise<Map<number, Streams>> {
    try {
      const { streams, missing } = await this.#api.listStreams(subjectFilter(this.#settings), this.#signal);
      for (const name of missing) {
        // Fails as long as the stream's servers are away: better than to take a stream for absent.
        if (looksOurs(this.#settings, name)) streams.push(await this.#api.streamInfo(name, this.#signal));
      }
      return this.#byShard(streams);
    } catch (error) {
      throw this.#fail(action, error);
    }
  }

  #byShard(streams: readonly StreamInfo[]): Map<number, Streams> {
    const found = new Map<number, Streams>();
    for (const info of streams.toSorted(byAge)) {
      const shard = shardOf(this.#settings, info.config.subjects);
      if (shard === undefined) continue;
      if (isOfAnotherCluster(this.#settings, info.config.name, shard)) {
        throw subjectTaken(subjectOf(this.#settings, shard), info.config.name);
      }
      const older = found.get(shard);
      if (older === undefined) found.set(shard, [info]);
      else older.push(info);
    }
    return found;
  }

  /** Another node may create the same stream at the same time, and under the other name if it compresses. */
  async #create(shard: number): Promise<void> {
    const failure = `Failed to create stream "${streamNameOf(this.#settings, shard)}"`;
    try {
      await this.#api.createStream(streamConfigOf(this.#settings, shard), this.#signal);
    } catch (error) {
      if (isApiError(error, API_ERROR.streamNameInUse, API_ERROR.subjectsOverlap)) {
        if ((await this.#find(failure)).has(shard)) return;
      }
      throw this.#fail(failure, error);
    }
  }

  /**
   * A nats-server that is no cluster lets two streams with one subject come into being when they are created at the
   * same time (seen with 2.15.2 in 21 of 50 attempts). From then on both store every message, in an order of their own, and
   * both acknowledge it. All nodes use the older one; the other is deleted as soon as that loses nothing.
   */
  async #dropTwins(canonical: StreamInfo, twins: readonly StreamInfo[]): Promise<void> {
    for (const { config: { name } } of twins) {
      try {
        if (await this.#isCovered(name, canonical.config.name)) {
          await this.#api.deleteStream(name, this.#signal);
        } else {
          this.#tell(`Stream "${name}" has the subject of "${canonical.config.name}", which is used instead`);
        }
      } catch (error) {
        // Another node did it.
        if (isApiError(error, API_ERROR.streamNotFound)) continue;
        throw this.#fail(`Failed to delete stream "${name}"`, error);
      }
    }
  }

  /**
   * Whether a twin holds nothing that the other one lacks. What came since both exist is in both; so the twin has more than
   * the other only by what came before, and has none of that when it is not longer. It is asked after the other one: what
   * arrives meanwhile can make it look longer, never shorter.
   */
  async #isCovered(twin: string, canonical: string): Promise<boolean> {
    const kept = await this.#api.streamInfo(canonical, this.#signal);
    const dropped = await this.#api.streamInfo(twin, this.#signal);
    return dropped.state.last_seq <= kept.state.last_seq;
  }

  async #reconcile(info: StreamInfo): Promise<StreamInfo> {
    const differences = differencesOf(this.#settings, info.config);
    if (differences.length === 0) return info;
    if (this.#settings.updateExisting) return await this.#update(info);
    for (const text of differences) this.#tell(text);
    return info;
  }

  async #update(info: StreamInfo): Promise<StreamInfo> {
    const { maxEntries, replicas } = this.#settings;
    try {
      const config = { ...info.config, max_msgs: maxEntries, num_replicas: replicas };
      return await this.#api.updateStream(config, this.#signal);
    } catch (error) {
      throw this.#fail(`Failed to update stream "${info.config.name}"`, error);
    }
  }

  #tell(difference: string): void {
    if (!this.#toldDifferences.has(difference)) this.#options.onDifference?.(difference);
    this.#toldDifferences.add(difference);
  }

  /** What to throw: the reason for which everything was ended, if it was. */
  #fail(action: string, error: unknown): unknown {
    return this.#signal.aborted ? this.#signal.reason : toStreamError(action, error);
  }
}

/** The streams of one shard: the one to use, and twins of it if there are any. */
type Streams = [StreamInfo, ...StreamInfo[]];

/** The same order on every node. */
function byAge(a: StreamInfo, b: StreamInfo): number {
  if (a.created !== b.created) return a.created < b.created ? -1 : 1;
  return a.config.name < b.config.name ? -1 : 1;
}

function toStates(found: ReadonlyMap<number, Streams>): StreamState[] {
  return [...found].sort(([a], [b]) => a - b).map(([shard, [info]]) => stateOf(info, shard));
}

function toHeaders(message: OutgoingMessage): MsgHdrs {
  const made = headers();
  made.set(HEADER_MESSAGE_ID, message.id);
  for (const [name, value] of message.headers) made.set(name, value);
  return made;
}
