import { Backoff } from "../lib/backoff.ts";
import { messageOf, StreamError } from "../lib/errors.ts";
import { pause, sleep } from "../lib/sleep.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import type { Logger } from "../observe/logger.ts";
import type { Database } from "../sqlite/database.ts";
import { ClusterSchemas } from "../schema/cluster_schemas.ts";
import type { LogMessage, ReplicationLog, StreamState } from "../stream/replication_log.ts";
import type { MessageApplier } from "./message_applier.ts";
import { forgetOtherStreams, type Position, readPosition, storePosition } from "./position.ts";
import { sendAllAgain } from "./resend.ts";
import { SchemaBehindError } from "./schema_behind.ts";

/** How often streams of this cluster are looked for that did not exist before: another node may use more shards. */
const DISCOVERY_INTERVAL_MS = 10_000;
/** How often a paused stream looks whether the schema has changed: the promise is within a second. */
const SCHEMA_POLL_MS = 250;
/** How many of those looks pass between two at the schemas of the cluster. */
const POLLS_BETWEEN_INQUIRIES = 8;
/** Pauses after something failed that may heal. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** How often a gap that cannot be closed is said again. */
const GAP_REMINDER_MS = 60_000;

/** What a stream's reader is doing. `gap`: messages that this node has not read are gone from the stream. */
export type StreamCondition = "reading" | "schema_mismatch_paused" | "gap" | "failing";

/** Why a stream waits for the schema of this database. */
export interface SchemaPause {
  readonly table: string;
  readonly reason: string;
  readonly hint: string | undefined;
  /** Unix milliseconds. */
  readonly sinceMs: number;
}

/** The schemas of the cluster; see `SchemaRegistry.read`. */
export interface SchemaReader {
  read(signal: AbortSignal, known?: ClusterSchemas): Promise<ClusterSchemas>;
}

export interface ApplierOptions {
  readonly database: Database;
  readonly schema: SchemaTracker;
  readonly log: ReplicationLog;
  readonly messages: MessageApplier;
  /** This node's id, and how many shards it sends to. */
  readonly node: bigint;
  readonly shards: number;
  /** Asked when a message names what this database does not know. */
  readonly registry: SchemaReader;
  readonly logger: Logger;
  /**
   * Closes the gaps of streams that no longer hold what this node has not read, and says whether it could; nobody reads
   * them meanwhile.
   */
  readonly closeGaps: (streams: ReadonlySet<string>, signal: AbortSignal) => Promise<boolean>;
  /** Called after each transaction that applied something: how long it took, and when its last message was stored. */
  readonly onApplied: (applied: { readonly ms: number; readonly timeNs: bigint }) => void;
}

/** Reads every stream of the cluster from where this node left off, and applies what it finds. */
export class Applier {
  readonly #options: ApplierOptions;
  readonly #conditions = new Map<string, StreamCondition>();
  /** Why those wait that are `schema_mismatch_paused`. */
  readonly #pauses = new Map<string, SchemaPause>();
  /** When the stream stored the first message that has arrived and is not applied yet, Unix nanoseconds. */
  readonly #waitingSince = new Map<string, bigint>();
  /** Streams with the sequence up to which they have to be applied before this node may publish. */
  readonly #behind = new Map<string, number>();
  readonly #caughtUp = Promise.withResolvers<void>();

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /** Resolves when everything is applied that the streams held at the start. */
  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }

  /** False while a stream has lost messages that this node needs: what it would send might rest on what it never saw. */
  get mayPublish(): boolean {
    return ![...this.#conditions.values()].includes("gap");
  }

  /** By stream. */
  get conditions(): ReadonlyMap<string, StreamCondition> {
    return this.#conditions;
  }

  /** By stream. */
  get pauses(): ReadonlyMap<string, SchemaPause> {
    return this.#pauses;
  }

  /** By stream: when it stored the first message that has arrived here and is not applied, Unix nanoseconds. */
  get waitingSince(): ReadonlyMap<string, bigint> {
    return this.#waitingSince;
  }

  /** When one stream cannot be read on for good, none is: a node does not fall behind in silence. */
  async run(options: { signal: AbortSignal }): Promise<void> {
    const stop = new AbortController();
    const signal = AbortSignal.any([options.signal, stop.signal]);
    const failure = Promise.withResolvers<never>();
    const readers = new Map<string, Promise<void>>();
    const follow = async (state: StreamState): Promise<void> => {
      if (readers.has(state.name)) return;
      if (positionIn(state, await this.#storedPosition(state.name)).sequence < state.last) {
        this.#behind.set(state.name, state.last);
      }
      readers.set(state.name, this.#follow(state, signal).catch(failure.reject));
    };
    const discovery = this.#discover(follow, signal);
    try {
      await Promise.race([discovery, failure.promise]);
    } finally {
      stop.abort();
      await Promise.allSettled([discovery, ...readers.values()]);
    }
  }

  async #discover(follow: (state: StreamState) => Promise<void>, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
    while (!signal.aborted) {
      try {
        for (const state of await this.#options.log.streams()) await follow(state);
        this.#checkCaughtUp();
        backoff.reset();
        await pause(DISCOVERY_INTERVAL_MS, signal);
      } catch (error) {
        await this.#tolerate(error, backoff, signal);
      }
    }
  }

  /** Reads one stream for as long as the signal lasts. */
  async #follow(state: StreamState, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
    let fresh: StreamState | undefined = state;
    let isRolledBack = false;
    while (!signal.aborted) {
      try {
        fresh ??= await this.#lookUp(state.name);
        const position = await this.#startOver(fresh, isRolledBack, signal);
        isRolledBack = false;
        this.#conditions.set(state.name, "reading");
        this.#waitingSince.delete(state.name);
        this.#noteReached(position);
        await this.#readFrom(position, backoff, signal);
      } catch (error) {
        if (signal.aborted) return;
        isRolledBack ||= isCode(error, "STREAM_ROLLED_BACK");
        if (isCode(error, "POSITION_TRUNCATED")) await this.#meetGap(state, error, backoff, signal);
        else await this.#tolerate(error, backoff, signal, state.name);
      }
      // Judged by what was known before, a stream that we have read on would look as if it had been cut back.
      fresh = undefined;
    }
  }

  async #readFrom(position: Position, backoff: Backoff, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const { stream, sequence, created, time: timeNs } = position;
    for await (const messages of log.read(stream, sequence + 1, signal, { created, timeNs })) {
      position = await this.#applyAll(position, messages, signal);
      backoff.reset();
    }
  }

  async #applyAll(
    position: Position,
    messages: readonly LogMessage[],
    signal: AbortSignal,
  ): Promise<Position> {
    const last = messages.at(-1)!.sequence;
    // Holds for these messages alone: the next may come from a schema that did not exist when it was read.
    let cluster: ClusterSchemas | undefined;
    while (position.sequence < last) {
      try {
        const rest = messages.filter(({ sequence }) => sequence > position.sequence);
        this.#waitingSince.set(position.stream, rest[0]!.timeNs);
        const startMs = performance.now();
        position = await this.#options.messages.apply(position, rest, signal, cluster);
        this.#options.onApplied({ ms: performance.now() - startMs, timeNs: position.time });
        this.#noteProgress(position);
      } catch (error) {
        if (!(error instanceof SchemaBehindError)) throw error;
        cluster = cluster === undefined
          ? await this.#inquire(signal)
          : await this.#waitForSchema(position, error, cluster, signal);
      }
    }
    this.#waitingSince.delete(position.stream);
    return position;
  }

  /** The schemas of the cluster, `known` itself when they are the same; when they cannot be had nothing is known of them. */
  async #inquire(signal: AbortSignal, known?: ClusterSchemas): Promise<ClusterSchemas> {
    try {
      return await this.#options.registry.read(signal, known);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      return known ?? new ClusterSchemas("unread", [], error.message);
    }
  }

  /** Resolves when it is worth another attempt: the schema has changed here or in the cluster. */
  async #waitForSchema(
    position: Position,
    error: SchemaBehindError,
    cluster: ClusterSchemas,
    signal: AbortSignal,
  ): Promise<ClusterSchemas> {
    this.#notePause(position, error);
    for (let polls = 1;; polls++) {
      await sleep(SCHEMA_POLL_MS, signal);
      if (await this.#options.messages.isSchemaNew(error, signal)) return cluster;
      if (polls % POLLS_BETWEEN_INQUIRIES !== 0) continue;
      const now = await this.#inquire(signal, cluster);
      if (now !== cluster) return now;
    }
  }

  #notePause({ stream, sequence }: Position, { table, message: reason, hint }: SchemaBehindError): void {
    if (this.#conditions.get(stream) !== "schema_mismatch_paused") {
      const { logger } = this.#options;
      logger.warn("schema_mismatch_paused", { stream, sequence: sequence + 1, reason, hint });
    }
    this.#conditions.set(stream, "schema_mismatch_paused");
    const sinceMs = this.#pauses.get(stream)?.sinceMs ?? Date.now();
    this.#pauses.set(stream, { table, reason, hint, sinceMs });
    // What waits for this node's own schema must not keep it from sending its own changes.
    this.#behind.delete(stream);
    this.#checkCaughtUp();
  }

  #noteProgress({ stream, sequence }: Position): void {
    if (this.#conditions.get(stream) === "schema_mismatch_paused") {
      this.#options.logger.info("Schema matches again, replication goes on", { stream });
    }
    this.#pauses.delete(stream);
    this.#conditions.set(stream, "reading");
    this.#noteReached({ stream, sequence });
  }

  #noteReached({ stream, sequence }: Pick<Position, "stream" | "sequence">): void {
    if (sequence < (this.#behind.get(stream) ?? 0)) return;
    if (this.#behind.delete(stream)) this.#checkCaughtUp();
  }

  #checkCaughtUp(): void {
    if (this.#behind.size === 0) this.#caughtUp.resolve();
  }

  #storedPosition(stream: string): Promise<Position | undefined> {
    const { database, schema } = this.#options;
    return schema.read(() => readPosition(database, stream));
  }

  /** The position to read from; see {@link sendAllAgain} for a stream that was recreated. */
  async #startOver(state: StreamState, isRolledBack: boolean, signal: AbortSignal): Promise<Position> {
    const { database, schema, logger, messages } = this.#options;
    const stored = await this.#storedPosition(state.name);
    const position = isRolledBack ? beginningOf(state) : positionIn(state, stored);
    if (position === stored) return position;
    if (!stored) {
      await schema.write(() => {
        forgetOtherStreams(database, state.shard, state.name);
        storePosition(database, position);
      }, signal);
      return position;
    }
    logger.warn("Stream was recreated, starting over: all that is known of its rows is sent again", {
      stream: state.name,
      created: state.created,
    });
    // What was still to be read of the lost one never comes.
    if (this.#behind.has(state.name)) this.#behind.set(state.name, state.last);
    const { node, shards } = this.#options;
    await sendAllAgain(position, stored, {
      database,
      schema,
      overlay: messages.overlay,
      node,
      shards,
      signal,
    });
    return position;
  }

  /** The stream as it is now; one of our shards that was deleted is created again. */
  async #lookUp(stream: string): Promise<StreamState> {
    const state = (await this.#options.log.ensureStreams()).find(({ name }) => name === stream);
    if (state) return state;
    throw new StreamError("STREAM_MISSING", `Cannot read stream "${stream}": it does not exist`, {
      transient: true,
    });
  }

  async #meetGap(state: StreamState, gap: unknown, backoff: Backoff, signal: AbortSignal): Promise<void> {
    this.#conditions.set(state.name, "gap");
    try {
      await this.#closeGap(state, gap, signal);
    } catch (error) {
      // The streams cannot be reached; it is still a gap.
      await this.#tolerate(error, backoff, signal);
    }
  }

  /** Nothing is skipped in silence: the stream stays where it is until its messages come back by other means. */
  async #closeGap(state: StreamState, error: unknown, signal: AbortSignal): Promise<void> {
    const { logger, closeGaps, messages } = this.#options;
    const gaps = [...this.#conditions].filter(([, condition]) => condition === "gap").map(([name]) => name);
    if (await closeGaps(new Set(gaps), signal)) return messages.overlay.reload();
    logger.error("Changes are missing: the stream no longer holds what this node has not read", {
      stream: state.name,
      reason: messageOf(error),
      hint:
        "No snapshot closes the gap. Run `harmonylite snapshot save` on a node that has read everything. " +
        "A larger max_entries keeps changes for longer; on existing streams it counts with update_existing = true.",
    });
    await pause(GAP_REMINDER_MS, signal);
  }

  /** Waits after a failure that may heal by itself, and throws any other. */
  async #tolerate(error: unknown, backoff: Backoff, signal: AbortSignal, stream?: string): Promise<void> {
    if (signal.aborted) return;
    if (!(error instanceof StreamError)) throw error;
    if (stream !== undefined) this.#conditions.set(stream, "failing");
    this.#options.logger.warn("Unable to read", { stream, reason: error.message });
    await pause(backoff.next(), signal);
  }
}

/** The position to read a stream from: the stored one, if it is of this stream. */
function positionIn(state: StreamState, stored: Position | undefined): Position {
  return stored && !isRecreated(stored, state) ? stored : beginningOf(state);
}

function beginningOf({ name, shard, created }: StreamState): Position {
  return { stream: name, shard, created, sequence: 0, time: 0n };
}

/** Another creation time, or an end before our position: the stream under this name is another one. */
function isRecreated(position: Position, state: StreamState): boolean {
  return position.created !== state.created || position.sequence > state.last;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof StreamError && error.code === code;
}
