import { type CapturedChange, ChangeReader } from "../capture/change_reader.ts";
import { yieldToEventLoop } from "../lib/sleep.ts";
import { GLOBAL_LOG } from "../schema/names.ts";
import { type Schema, schemaVersion } from "../schema/followed_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { type Batch, type BatchLimits, BatchWriter } from "../wire/batch.ts";
import { IdRanges } from "../lib/id_ranges.ts";
import type { LoggedChanges } from "./acknowledgement.ts";
import { ChangeEncoder } from "./encoder.ts";

/** A row of the global log. */
interface LoggedChange {
  readonly globalId: bigint;
  readonly table: string;
  /** Row id in the table's change log. */
  readonly id: bigint;
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

interface PendingChange {
  readonly logged: LoggedChange;
  readonly change: CapturedChange;
}

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
  readonly #drafts = new Map<number, ShardDraft>();
  #encoder: ChangeEncoder;

  /** `database` is a connection of its own: the snapshot must not be in the way of what this program writes meanwhile. */
  constructor(database: Database, node: bigint, limits: RoundLimits, schema: Schema) {
    this.#database = database;
    this.#node = node;
    this.#limits = limits;
    this.#changes = new ChangeReader(database, schema);
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

  /** The batches of one round, none when nothing is pending; undefined when the schema is not the one given. */
  async read(schema: Schema, signal: AbortSignal): Promise<ShardBatch[] | undefined> {
    this.#use(schema);
    return await this.#database.read(async () => {
      if (schemaVersion(this.#database) !== schema.version) return undefined;
      await this.#encodeAll();
      return this.#finish();
    }, signal);
  }

  #use(schema: Schema): void {
    if (schema === this.#encoder.schema) return;
    this.#changes.use(schema);
    this.#encoder = new ChangeEncoder(schema, this.#limits.shards);
  }

  async #encodeAll(): Promise<void> {
    const { maxTransactionRows, scanMaxChanges } = this.#limits;
    const cutFrom = Math.floor(maxTransactionRows * (1 - CUT_REGION));
    const end: PendingChange[] = [];
    let last = 0n;
    let count = 0;
    while (count < maxTransactionRows) {
      const slice = this.#readSlice(last, Math.min(scanMaxChanges, maxTransactionRows - count));
      if (slice.length === 0) break;
      last = slice.at(-1)!.globalId;
      for (const pending of this.#resolve(slice)) {
        if (++count > cutFrom) end.push(pending);
        else this.#encode(pending);
      }
      await yieldToEventLoop();
    }
    const isFull = count >= maxTransactionRows && this.#readSlice(last, 1).length > 0;
    (isFull ? end.slice(0, largestGap(end)) : end).forEach((pending) => this.#encode(pending));
  }

  #readSlice(after: bigint, limit: number): LoggedChange[] {
    return this.#database
      .all(
        `SELECT id, change_table_id, table_name FROM ${quote(GLOBAL_LOG)} WHERE id > ? ORDER BY id LIMIT ?`,
        after,
        BigInt(limit),
      )
      .map(([globalId, id, table]) => ({
        globalId: globalId as bigint,
        table: String(table),
        id: id as bigint,
      }));
  }

  /** The changes behind rows of the global log, in its order, read in as few goes for each table as there are gaps. */
  #resolve(slice: LoggedChange[]): PendingChange[] {
    const byTable = Map.groupBy(slice, ({ table }) => table);
    const found = new Map<string, Map<bigint, CapturedChange>>();
    for (const [table, rows] of byTable) {
      const changes = [...IdRanges.of(rows.map(({ id }) => id)).pieces()]
        .flatMap(([first, last]) => this.#changes.range(table, first, last));
      found.set(table, new Map(changes.map((change) => [change.id, change])));
    }
    return slice.flatMap((logged) => {
      const change = found.get(logged.table)!.get(logged.id);
      return change ? [{ logged, change }] : [];
    });
  }

  #encode({ logged, change }: PendingChange): void {
    const shard = this.#encoder.shardOf(change);
    let draft = this.#drafts.get(shard);
    if (!draft) {
      draft = {
        writer: new BatchWriter(this.#node, this.#limits),
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
  }

  #finish(): ShardBatch[] {
    const batches: ShardBatch[] = [];
    for (const [shard, draft] of this.#drafts) {
      if (draft.writer.count === 0) continue;
      const { globalIds, ids } = draft;
      const { logs } = this.#encoder.schema;
      batches.push({ shard, batch: draft.writer.finish(), changes: { globalIds, ids, logs } });
      [draft.globalIds, draft.ids] = [new IdRanges(), new Map()];
    }
    return batches;
  }
}

/** The index before which to cut: after the change that is followed by the longest pause. All of a transaction is close in time. */
function largestGap(changes: readonly PendingChange[]): number {
  let cut = changes.length;
  let longest = -1n;
  for (let at = 1; at < changes.length; at++) {
    const gap = changes[at]!.change.ts - changes[at - 1]!.change.ts;
    if (gap > longest) [longest, cut] = [gap, at];
  }
  return cut;
}
