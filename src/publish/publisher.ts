import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { Backoff } from "../lib/backoff.ts";
import { StreamError } from "../lib/errors.ts";
import { pause, sleep } from "../lib/sleep.ts";
import type { Wakeup } from "../lib/wakeup.ts";
import type { Logger } from "../observe/logger.ts";
import type { Schema } from "../schema/followed_tables.ts";
import type { Database } from "../sqlite/database.ts";
import {
  HEADER_BATCH,
  HEADER_PART,
  type OutgoingMessage,
  type PublishAck,
  type ReplicationLog,
} from "../stream/replication_log.ts";
import { type BatchPart, messageId } from "../wire/batch.ts";
import { type LoggedChanges, markPublished } from "./acknowledgement.ts";
import { describeRefusal, markFailed } from "./refusal.ts";
import type { Round, RoundReader, ShardBatch } from "./round.ts";

/** Pauses between attempts to publish. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;
/** How long a look at the streams may hold up the next attempt: while servers elect a leader it takes much longer. */
const LOOK_PATIENCE_MS = 500;
/** Pause when what is pending was written under another schema than the one known: without it nobody else gets a turn. */
const SCHEMA_PAUSE_MS = 10;

/** Pause when a stream was recreated, and this node has not noticed yet. */
const UNNOTICED_PAUSE_MS = 250;

/** Parts of a batch that are on their way together: what is sent is in memory. One part may exceed the bytes. */
const MAX_PARTS_AT_ONCE = 2_048;
const MAX_BYTES_AT_ONCE = 1 << 20;

export interface PublisherOptions {
  readonly database: Database;
  readonly schema: SchemaTracker;
  readonly rounds: RoundReader;
  readonly log: ReplicationLog;
  /** Resolves when the cluster knows that this node has this schema: before anything captured under it is sent. */
  readonly announce: (schema: Schema, signal: AbortSignal) => Promise<void>;
  /** This node's id. */
  readonly node: bigint;
  readonly logger: Logger;
  /** Notified when something may have been written. */
  readonly wakeup: Wakeup;
  /** The longest time between two looks at the change log, whether notified or not, in milliseconds. */
  readonly pollingIntervalMs: number;
  /** False while this node must not publish. */
  readonly mayPublish: () => boolean;
  /** Is done with those of some changes that are folded into the versions here, and says how many they were. */
  readonly settle: (changes: LoggedChanges, signal: AbortSignal) => Promise<number>;
  /** Called with how many changes of a batch are acknowledged and done with, and how long that took. */
  readonly onPublished: (changes: number, ms: number) => void;
  /** Called after each look at what is pending: whether there is anything, or all that goes into a round. */
  readonly onLooked: (what: "count_changes" | "scan_changes", ms: number) => void;
}

/**
 * Sends what was captured. Each round sends one batch to each shard and waits until every part is acknowledged and marked:
 * so a shard never has two batches of this node on their way, whose order could be lost, and batches grow under load by
 * themselves. What is not acknowledged stays pending in the database; nothing else holds it.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
  #recovery: Promise<void> | undefined;
  /** A look at the streams that has not ended yet. */
  #look: Promise<void> | undefined;
  #saidReason: string | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /**
   * Publishes until `signal` is aborted, then goes on until nothing is pending any more, or `deadline` is aborted, too.
   */
  async run({ signal, deadline }: { signal: AbortSignal; deadline: AbortSignal }): Promise<void> {
    const { wakeup, pollingIntervalMs } = this.#options;
    while (!deadline.aborted) {
      const published = await this.#round(deadline);
      if (published) continue;
      if (signal.aborted) return;
      await wakeup.wait(pollingIntervalMs, signal);
    }
  }

  /** Whether there was anything to publish, and it was. */
  async #round(deadline: AbortSignal): Promise<boolean> {
    const { schema, rounds, mayPublish, announce } = this.#options;
    await schema.refresh(deadline);
    const { current } = schema;
    if (!mayPublish()) return false;
    const isPending = await this.#timed("count_changes", () => rounds.hasPending(current, deadline));
    if (!isPending) return false;
    await announce(current, deadline);
    const round = await this.#timed("scan_changes", () => rounds.read(current, deadline));
    if (!round) {
      // Mostly it has just changed. When a person has copied another file over the live one, connections may differ for longer.
      await sleep(SCHEMA_PAUSE_MS, deadline);
      return true;
    }
    await this.#refuse(round);
    await Promise.all(round.batches.map((batch) => this.#publish(batch, deadline)));
    rounds.release();
    return round.batches.length > 0 || round.refused.length > 0;
  }

  async #timed<T>(
    what: Parameters<PublisherOptions["onLooked"]>[0],
    look: () => Promise<T>,
  ): Promise<T> {
    const startMs = performance.now();
    const found = await look();
    this.#options.onLooked(what, performance.now() - startMs);
    return found;
  }

  async #refuse(round: Round): Promise<void> {
    if (round.refused.length === 0) return;
    await markFailed(this.#options.schema, this.#options.database, round);
    for (const change of round.refused) {
      this.#options.logger.error(describeRefusal(change), {
        hint:
          "Other nodes keep what they have of this row. Store such values in pieces, or outside the database.",
      });
    }
  }

  async #publish(shardBatch: ShardBatch, deadline: AbortSignal): Promise<void> {
    const { shard, batch, changes } = shardBatch;
    const { database, schema, onPublished } = this.#options;
    const { stream } = changes;
    const startMs = performance.now();
    let sequence = 0;
    let first = Infinity;
    for (const group of inGroups(batch.parts)) {
      const acks = await Promise.all(group.map((part) => this.#send(shard, part, deadline)));
      sequence = Math.max(sequence, ...acks.map((ack) => ack.sequence));
      first = Math.min(first, ...acks.map((ack) => ack.sequence));
    }
    if (stream && first <= stream.readTo) return await this.#settle(shardBatch, startMs, deadline);
    // Its parts may lie in two streams.
    const isDoubtful = stream && batch.parts.length > 1;
    if (isDoubtful && !await this.#isThere(shard, stream.created)) {
      // When this node has noticed, it sends all again.
      return await sleep(UNNOTICED_PAUSE_MS, deadline);
    }
    const isMarked = await markPublished(database, schema, changes, { shard, sequence });
    if (isMarked) onPublished(batch.count, performance.now() - startMs);
  }

  /**
   * What lies below what was read has come back: it was sent before. Or the stream is another one, or an older copy of it was
   * put back, and this node's reader has yet to notice. The versions tell: what is not folded into them is sent again.
   */
  async #settle({ batch, changes }: ShardBatch, startMs: number, deadline: AbortSignal): Promise<void> {
    const settled = await this.#options.settle(changes, deadline);
    if (settled > 0) this.#options.onPublished(settled, performance.now() - startMs);
    if (settled < batch.count) await sleep(UNNOTICED_PAUSE_MS, deadline);
  }

  /** Whether a shard still has the stream that was created then; false when that cannot be told. */
  async #isThere(shard: number, created: string): Promise<boolean> {
    try {
      const streams = await this.#options.log.streams();
      return streams.some((stream) => stream.shard === shard && stream.created === created);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      return false;
    }
  }

  /** Sends one message until it is acknowledged; its id makes the stream keep one copy, however often it is sent. */
  async #send(shard: number, part: BatchPart, deadline: AbortSignal): Promise<PublishAck> {
    const message = this.#toMessage(part);
    for (;;) {
      deadline.throwIfAborted();
      try {
        const ack = await this.#options.log.publish(shard, message);
        this.#backoff.reset();
        this.#saidReason = undefined;
        return ack;
      } catch (error) {
        if (!(error instanceof StreamError)) throw error;
        await this.#recover(error, deadline);
      }
    }
  }

  #toMessage({ data, batch, part }: BatchPart): OutgoingMessage {
    const headers = new Map<string, string>();
    if (batch !== undefined && part !== undefined) headers.set(HEADER_BATCH, batch).set(HEADER_PART, part);
    return { id: messageId(this.#options.node, headers, data), headers, data };
  }

  /** Nothing is given up: a refusal, too, is tried again, as an operator may lift it. All messages wait together. */
  #recover(error: StreamError, deadline: AbortSignal): Promise<void> {
    this.#recovery ??= this.#waitAndLook(error, deadline).finally(() => this.#recovery = undefined);
    return this.#recovery;
  }

  async #waitAndLook(error: StreamError, deadline: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    // Said once for each reason: an outage may last for days.
    logger[this.#saidReason === error.message ? "debug" : "warn"]("Unable to publish", {
      reason: error.message,
      hint: error.hint,
    });
    this.#saidReason = error.message;
    await sleep(this.#backoff.next(), deadline);
    this.#look ??= this.#ensureStreams().finally(() => this.#look = undefined);
    const next = new AbortController();
    await Promise.race([this.#look, pause(LOOK_PATIENCE_MS, AbortSignal.any([next.signal, deadline]))]);
    next.abort();
  }

  /** A stream may be gone; most often it is there, and only its leader is not. */
  async #ensureStreams(): Promise<void> {
    const { logger, log } = this.#options;
    try {
      await log.ensureStreams();
    } catch (cause) {
      if (!(cause instanceof StreamError)) throw cause;
      logger.debug("Streams are not available", { reason: cause.message });
    }
  }
}

/** Parts in their order, some at a time. */
function* inGroups(parts: readonly BatchPart[]): Generator<BatchPart[]> {
  let group: BatchPart[] = [];
  let bytes = 0;
  for (const part of parts) {
    if (group.length === MAX_PARTS_AT_ONCE || (group.length > 0 && bytes + part.bytes > MAX_BYTES_AT_ONCE)) {
      yield group;
      [group, bytes] = [[], 0];
    }
    group.push(part);
    bytes += part.bytes;
  }
  if (group.length > 0) yield group;
}
