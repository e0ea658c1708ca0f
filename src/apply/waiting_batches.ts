import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { BATCH, FINISHED_BATCH, PART } from "../schema/names.ts";
import { HEADER_BATCH, HEADER_PART, type LogMessage } from "../stream/replication_log.ts";
import { type BatchName, parseBatchName, parsePart, type PartNumber } from "../wire/batch.ts";
import { decompress } from "../wire/compression.ts";
import { sameBytes } from "../lib/same_bytes.ts";
import { WireError } from "../lib/errors.ts";

/** A message that is one part of a batch. */
export interface BatchPart {
  readonly batch: string;
  readonly name: BatchName;
  readonly number: PartNumber;
}

/** Reads the headers of a part; undefined for a message that is a batch of its own. */
export function readPart(batch: string | undefined, part: string | undefined): BatchPart | undefined {
  if (batch === undefined && part === undefined) return undefined;
  if (batch === undefined || part === undefined) {
    throw new WireError("Cannot read message: half of a batch's headers");
  }
  const name = parseBatchName(batch);
  const number = parsePart(part);
  if (name.parts !== number.count) {
    throw new WireError(`Cannot read message: part ${part} of batch "${batch}"`);
  }
  return { batch, name, number };
}

/** An unfinished batch stays this long after finished ones covered it: its parts may belong to a twin with our node id. */
const KEEP_COVERED_NS = 24n * 3_600_000_000_000n;

/**
 * Parts of batches that are not complete. They lie in the database and come with the position, so that positions always
 * advance and a crash loses none. Parts arrive in any order and between the messages of other nodes; a batch never
 * discards another one. All methods run inside the write transaction of their message.
 */
export class WaitingBatches {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Whether a batch has taken effect, so that a part which comes again is of no more use. Known of the last batch of each
   * node, which is enough: a node sends no other before every part of that one is acknowledged. (A part that lay in some
   * queue for longer stays, and harms nobody.)
   */
  isFinished(stream: string, { batch, name }: BatchPart): boolean {
    const last = this.#database.value(
      `SELECT batch FROM ${quote(FINISHED_BATCH)} WHERE stream = ? AND node = ?`,
      stream,
      name.node,
    );
    return last === batch;
  }

  /** The contents of all parts in order if `message` is the one that was missing, else undefined. Changes nothing. */
  complete(message: LogMessage, part: BatchPart): (() => Iterable<Uint8Array>) | undefined {
    const { index, count } = part.number;
    // The last one mostly comes last: so for most of the others nothing has to be counted.
    if (index !== count && this.#stored(message.stream, part.batch, count) === undefined) return undefined;
    const others = this.#database.count(
      `SELECT count(*) FROM ${quote(PART)} WHERE stream = ? AND batch = ? AND part <> ?`,
      message.stream,
      part.batch,
      BigInt(index),
    );
    return others === count - 1 ? () => this.#contents(message, part) : undefined;
  }

  *#contents(message: LogMessage, part: BatchPart): Iterable<Uint8Array> {
    for (let index = 1; index <= part.number.count; index++) {
      yield index === part.number.index ? message.data : this.#stored(message.stream, part.batch, index)!;
    }
  }

  #stored(stream: string, batch: string, index: number): Uint8Array | undefined {
    return this.#database.value(
      `SELECT data FROM ${quote(PART)} WHERE stream = ? AND batch = ? AND part = ?`,
      stream,
      batch,
      BigInt(index),
    ) as Uint8Array | undefined;
  }

  /** Keeps a part until the others have come; false when there is another one under its number. */
  keep(message: LogMessage, part: BatchPart): boolean {
    const { node, firstTs, lastTs } = part.name;
    this.#database.run(
      `INSERT INTO ${
        quote(BATCH)
      } (stream, batch, node, first_ts, last_ts, covered_to, time) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
      message.stream,
      part.batch,
      node,
      firstTs,
      lastTs,
      firstTs - 1n,
      message.timeNs,
    );
    const added = this.#database.run(
      `INSERT INTO ${
        quote(PART)
      } (stream, batch, part, sequence, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      message.stream,
      part.batch,
      BigInt(part.number.index),
      BigInt(message.sequence),
      message.data,
    );
    if (added > 0) return true;
    return sameContents(this.#stored(message.stream, part.batch, part.number.index)!, message.data);
  }

  /** A batch of several parts took effect: its parts go, and it is known should they come again. */
  remember(stream: string, batch: string): void {
    this.discard(stream, batch);
    this.#database.run(
      `INSERT INTO ${quote(FINISHED_BATCH)} (stream, node, batch) VALUES (?, ?, ?)
       ON CONFLICT (stream, node) DO UPDATE SET batch = excluded.batch`,
      stream,
      parseBatchName(batch).node,
      batch,
    );
  }

  /** Changes of a node took effect, and count for unfinished batches of it that hold them, too. */
  cover(stream: string, node: bigint, firstTs: bigint, lastTs: bigint): void {
    if (this.#database.get(`SELECT 1 FROM ${quote(BATCH)} WHERE stream = ? LIMIT 1`, stream) === undefined) {
      return;
    }
    this.#database.run(
      `UPDATE ${quote(BATCH)} SET covered_to = ?1
       WHERE stream = ?2 AND node = ?3 AND covered_to < ?1 AND (?4 <= first_ts OR covered_to >= first_ts)`,
      lastTs,
      stream,
      node,
      firstTs,
    );
  }

  /** Gives up a batch: its parts as messages, which are discarded here. */
  take(stream: string, batch: string): LogMessage[] {
    const rows = this.#database.all(
      `SELECT part, sequence, data FROM ${quote(PART)} WHERE stream = ? AND batch = ? ORDER BY part`,
      stream,
      batch,
    );
    this.discard(stream, batch);
    return rows.map(([part, sequence, data]) => ({
      stream,
      sequence: Number(sequence),
      timeNs: 0n,
      headers: new Map([[HEADER_BATCH, batch], [HEADER_PART, `${part}/${parseBatchName(batch).parts}`]]),
      data: data as Uint8Array,
    }));
  }

  discard(stream: string, batch: string): void {
    this.#database.run(`DELETE FROM ${quote(PART)} WHERE stream = ? AND batch = ?`, stream, batch);
    this.#database.run(`DELETE FROM ${quote(BATCH)} WHERE stream = ? AND batch = ?`, stream, batch);
  }
}

/** Whether two parts hold the same: one may be compressed and the other not, as a node may have been started with another setting. */
function sameContents(a: Uint8Array, b: Uint8Array): boolean {
  if (sameBytes(a, b)) return true;
  try {
    return sameBytes(decompress(a), decompress(b));
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}

/** Drops unfinished batches whose changes came in finished ones, as happens after a crash; inside a write transaction. */
export function dropCoveredBatches(database: Database, stream: string, streamTime: bigint): void {
  const batches = new WaitingBatches(database);
  const rows = database.all(
    `SELECT batch FROM ${quote(BATCH)} WHERE stream = ? AND covered_to >= last_ts AND time < ?`,
    stream,
    streamTime - KEEP_COVERED_NS,
  );
  for (const [batch] of rows) batches.discard(stream, String(batch));
}
