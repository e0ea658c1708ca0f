import { type CapturedChange, ChangeReader, MAX_CHANGE_BYTES } from "../capture/change_reader.ts";
import { yieldToEventLoop } from "../lib/sleep.ts";
import { GLOBAL_LOG } from "../schema/names.ts";
import { type Schema, schemaVersion } from "../schema/followed_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { type Batch, type BatchLimits, BatchWriter, MAX_PARTS } from "../wire/batch.ts";
import { IdRanges } from "../lib/id_ranges.ts";
import { type LoggedChanges, streamOf } from "./acknowledgement.ts";
import { ChangeEncoder } from "./encoder.ts";
import { PartSpool } from "./part_spool.ts";

/** A row of the global log. */
export interface LoggedChange {
  readonly globalId: bigint;
  readonly table: string;
  /** Row id in the table's change log. */
  readonly id: bigint;
}

/** A change that is too large to be sent. */
export interface RefusedChange extends LoggedChange {
  /** Its values, all together. */
  readonly bytes: number;
  /** Of the row, for a person; long values are cut. */
  readonly key: string;
}

/** What is to be sent now, and what cannot be. */
export interface Round {
  readonly batches: readonly ShardBatch[];
  readonly refused: readonly RefusedChange[];
  /** As in {@link LoggedChanges}. */
  readonly logs: number;
}

/** What goes to one shard in one round. */
export interface ShardBatch {
  readonly shard: number;
  readonly batch: Batch;
  readonly changes: LoggedChanges;
}

export interface RoundLimits extends BatchLimits {
  /** A round holds at most as many changes: what is more is cut where the writes pause longest near the limit. */
  readonly maxTransactionRows: number;
  /** Changes read before the event loop gets its turn. */
  readonly scanMaxChanges: number;
  readonly shards: number;
}

/** The part of a full round, at its end, in which the cut is looked for. */
const CUT_REGION = 0.1;
/** Rows of the global log that are held at a time: few, as what lives for long makes V8's young generation grow. */
const SLICE_ROWS = 128;
/** A round ends before a batch has too many parts for its receivers: its last change may still be a large one. */
const MAX_ROUND_PARTS = MAX_PARTS / 2;

/** A batch in the making; the writer is kept from round to round. */
interface ShardDraft {
  readonly writer: BatchWriter;
  globalIds: IdRanges;
  ids: Map<string, IdRanges>;
}

/**
 * Reads what is pending and makes one batch of it for each shard. All is read from one snapshot, which lies between two
 * transactions of the application: so a batch holds whole transactions.
 */
export class RoundReader {
  readonly #database: Database;
  readonly #node: bigint;
  readonly #limits: RoundLimits;
  readonly #changes: ChangeReader;
  readonly #spool: PartSpool;
  readonly #drafts = new Map<number, ShardDraft>();
  #encoder: ChangeEncoder;

  /** `database` is a connection of its own: the snapshot must not be in the way of what this program writes meanwhile. */
  constructor(database: Database, node: bigint, limits: RoundLimits, schema: Schema) {
    this.#database = database;
    this.#node = node;
    this.#limits = limits;
    this.#changes = new ChangeReader(database, schema);
    this.#spool = new PartSpool(database);
    this.#encoder = new ChangeEncoder(schema, limits.shards);
  }

  /** Whether anything may be pending: also when the schema is not the one given, as a log may be missing then. */
  hasPending(schema: Schema, signal: AbortSignal): Promise<boolean> {
    const first = `SELECT 1 FROM ${quote(GLOBAL_LOG)} LIMIT 1`;
    return this.#database.read(
      () => schemaVersion(this.#database) !== schema.version || this.#database.get(first) !== undefined,
      signal,
    );
  }

  /** What to send now, nothing when nothing is pending; undefined when the schema is not the one given. */
  async read(schema: Schema, signal: AbortSignal): Promise<Round | undefined> {
    this.#use(schema);
    return await this.#database.read(async () => {
      if (schemaVersion(this.#database) !== schema.version) return undefined;
      this.#begin();
      return { refused: await this.#encodeAll(), batches: this.#finish(), logs: schema.logs };
    }, signal);
  }

  /** Gives back what the last round takes on disk: its batches cannot be sent after that. */
  release(): void {
    this.#spool.clear();
  }

  /** An attempt that broke off may have left something. */
  #begin(): void {
    this.#changes.forget();
    this.#spool.clear();
    if ([...this.#drafts.values()].some(({ writer }) => writer.count > 0)) this.#drafts.clear();
  }

  #use(schema: Schema): void {
    if (schema === this.#encoder.schema) return;
    this.#changes.use(schema);
    this.#encoder = new ChangeEncoder(schema, this.#limits.shards);
  }

  /** Returns the changes that were left out because they cannot be sent. */
  async #encodeAll(): Promise<RefusedChange[]> {
    const { maxTransactionRows } = this.#limits;
    const cutFrom = Math.floor(maxTransactionRows * (1 - CUT_REGION));
    const refused: RefusedChange[] = [];
    let count = 0;
    let parts = 0;
    const take = (logged: LoggedChange): boolean => {
      const change = this.#changes.one(logged.table, logged.id);
      if (change) [count, parts] = [count + 1, this.#encode(logged, change)];
      else this.#judge(logged, refused);
      return parts <= MAX_ROUND_PARTS;
    };
    const rest = await this.#scan(0n, (logged) => count < cutFrom && take(logged));
    if (rest === undefined || parts > MAX_ROUND_PARTS) return refused;
    const end = await this.#findEnd(rest, maxTransactionRows - count);
    await this.#scan(rest, (logged) => logged.globalId !== end && take(logged));
    return refused;
  }

  /**
   * Visits rows of the global log in order, from an id on, for as long as `visit` says true; the event loop gets its turn in
   * between. Returns the id that was the first to hear false.
   */
  async #scan(from: bigint, visit: (logged: LoggedChange) => boolean): Promise<bigint | undefined> {
    const sql = `SELECT id, change_table_id, table_name FROM ${
      quote(GLOBAL_LOG)
    } WHERE id >= ? ORDER BY id LIMIT ?`;
    let sinceYield = 0;
    for (let next = from;;) {
      const slice = this.#database.all(sql, next, BigInt(SLICE_ROWS)) as [bigint, bigint, string][];
      for (const [globalId, id, table] of slice) {
        if (!visit({ globalId, id, table })) return globalId;
      }
      if (slice.length < SLICE_ROWS) return undefined;
      next = slice.at(-1)![0] + 1n;
      sinceYield += SLICE_ROWS;
      if (sinceYield < this.#limits.scanMaxChanges) continue;
      sinceYield = 0;
      await yieldToEventLoop();
    }
  }

  /**
   * Where to end a round that `rows` more changes fill up: at the change that follows the longest pause, as all of a
   * transaction is close in time. Undefined when what is pending fits. One change at least is left before the end.
   */
  async #findEnd(from: bigint, rows: number): Promise<bigint | undefined> {
    let end: bigint | undefined;
    let before: bigint | undefined;
    let longest = -1n;
    let count = 0;
    const stopped = await this.#scan(from, ({ globalId, table, id }) => {
      const ts = this.#changes.timeOf(table, id);
      if (ts === undefined) return true;
      if (before !== undefined && ts - before > longest) [longest, end] = [ts - before, globalId];
      before = ts;
      return ++count <= rows;
    });
    return stopped === undefined ? undefined : end;
  }

  /** A change that is not there waits or was removed; one that is too large will never be sent. */
  #judge(logged: LoggedChange, refused: RefusedChange[]): void {
    const bytes = this.#changes.bytesOf(logged.table, logged.id);
    if (bytes <= MAX_CHANGE_BYTES) return;
    refused.push({ ...logged, bytes, key: this.#changes.describeKey(logged.table, logged.id) });
  }

  /** Adds a change to the batch of its shard, and returns how many parts that has. */
  #encode(logged: LoggedChange, change: CapturedChange): number {
    const shard = this.#encoder.shardOf(change);
    let draft = this.#drafts.get(shard);
    if (!draft) {
      draft = {
        writer: new BatchWriter(this.#node, this.#limits, (data) => this.#spool.keep(data)),
        globalIds: new IdRanges(),
        ids: new Map(),
      };
      this.#drafts.set(shard, draft);
    }
    this.#encoder.encode(change, draft.writer);
    draft.globalIds.add(logged.globalId);
    const ids = draft.ids.get(logged.table) ?? new IdRanges();
    draft.ids.set(logged.table, ids);
    ids.add(logged.id);
    return draft.writer.closedParts;
  }

  #finish(): ShardBatch[] {
    const batches: ShardBatch[] = [];
    for (const [shard, draft] of this.#drafts) {
      if (draft.writer.count === 0) continue;
      const { globalIds, ids } = draft;
      const { logs } = this.#encoder.schema;
      const stream = streamOf(this.#database, shard);
      batches.push({ shard, batch: draft.writer.finish(), changes: { globalIds, ids, logs, stream } });
      [draft.globalIds, draft.ids] = [new IdRanges(), new Map()];
    }
    return batches;
  }
}
