import type { Fold } from "../apply/fold.ts";
import type { MessageApplier } from "../apply/message_applier.ts";
import { settleOwnChanges } from "../apply/own_changes.ts";
import { type Position, readPositions, storePosition } from "../apply/position.ts";
import { shardOfRow } from "../apply/row_shard.ts";
import { RowVersions } from "../apply/row_versions.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { raiseClock } from "../capture/trigger_sql.ts";
import { yieldToEventLoop } from "../lib/sleep.ts";
import { BATCH, FINISHED_BATCH, PART } from "../schema/names.ts";
import { type FollowedTable, presentTable, rowKinds, type Schema } from "../schema/followed_tables.ts";
import { type Database, isUnpreparable } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { decodeKey, type EncodedKey } from "../verify/key.ts";
import { TableRows } from "../verify/table_rows.ts";
import { EventDecoder } from "../wire/codec.ts";
import { differences, rowList, versionList } from "./keyed_lists.ts";
import type { SnapshotFile } from "./snapshot_file.ts";

const ROWS_BETWEEN_YIELDS = 500;

export interface MergeOptions {
  readonly database: Database;
  /** Another connection to it, to look for differences while applications write. */
  readonly comparer: Database;
  readonly schema: SchemaTracker;
  readonly messages: MessageApplier;
  /** This node's id. */
  readonly node: bigint;
  readonly shards: number;
  /** Up to so many rows that differ become visible at once. */
  readonly maxTransactionRows: number;
  readonly versionRetentionMs: number;
  readonly signal: AbortSignal;
}

/**
 * Rows that differ, in the order in which they were found: the keys in hexadecimal, which take less memory than arrays, by the rows
 * of one kind as the snapshot has them.
 */
type DifferentRows = Map<TableRows, Set<string>>;

/**
 * Brings a database that holds data up to the positions of a snapshot, as if its messages had been read, while its
 * application goes on writing (DESIGN section 6, the merge). Nothing of this node's is lost: its changes that are on their
 * way stay, and rows that the snapshot takes the place of without a version to say so are kept as conflicts.
 *
 * A crash in the middle just starts again: the positions move with the last rows.
 */
export class Merge {
  readonly #options: MergeOptions;
  readonly #snapshot: SnapshotFile;
  readonly #versions: RowVersions;
  readonly #decoder = new EventDecoder();
  /** The positions of the snapshot to go to, and by shard those where this node stands. */
  readonly #positions: readonly Position[];
  readonly #before = new Map<number, Position>();
  /** Those whose rows are taken over. */
  readonly #shards: ReadonlySet<number>;
  /** Of them those whose stream was created anew since: what the lost one has told is sent again, and not taken over. */
  readonly #recreated: ReadonlySet<number>;

  private constructor(snapshot: SnapshotFile, positions: readonly Position[], options: MergeOptions) {
    this.#options = options;
    this.#snapshot = snapshot;
    this.#versions = new RowVersions(snapshot.database);
    this.#positions = positions;
    this.#shards = new Set(this.#positions.map(({ shard }) => shard));
    const recreated = positions.filter(({ stream, created }) =>
      snapshot.positions.some((each) => each.stream === stream && each.created !== created)
    );
    this.#recreated = new Set(recreated.map(({ shard }) => shard));
  }

  /**
   * Takes over what the snapshot says of the rows of the streams in which it stands at these positions. Returns how many rows differed. Rejects with a
   * SchemaBehindError when the snapshot knows tables or columns that this database does not: nothing has moved then.
   */
  static async run(
    snapshot: SnapshotFile,
    positions: readonly Position[],
    options: MergeOptions,
  ): Promise<number> {
    for (;;) {
      const rows = await new Merge(snapshot, positions, options).#run();
      if (rows !== undefined) return rows;
    }
  }

  /** Undefined when the schema has changed meanwhile. */
  async #run(): Promise<number | undefined> {
    const { database, schema, signal, maxTransactionRows } = this.#options;
    await schema.refresh(signal);
    const { current } = schema;
    for (const position of await schema.read(() => readPositions(database), signal)) {
      this.#before.set(position.shard, position);
    }
    try {
      return await this.#takeOver(current, maxTransactionRows);
    } catch (error) {
      if (!isUnpreparable(error)) throw error;
      // A table was changed while its rows were compared.
      await schema.refresh(signal);
      if (schema.current === current) throw error;
      return undefined;
    }
  }

  async #takeOver(current: Schema, maxTransactionRows: number): Promise<number | undefined> {
    let total = 0;
    let count = 0;
    const different: DifferentRows = new Map();
    for await (const { rows, key } of this.#differences(current)) {
      const keys = different.get(rows) ?? new Set();
      const hex = key.toHex();
      // Most rows that differ have another version as well, and are found twice.
      if (keys.has(hex)) continue;
      different.set(rows, keys.add(hex));
      if (++count <= maxTransactionRows) continue;
      if (!await this.#adopt(different, current, false)) return undefined;
      total += count;
      count = 0;
      different.clear();
    }
    return await this.#adopt(different, current, true) ? total + count : undefined;
  }

  /** Rows of the streams at hand that are not as the snapshot has them, or have another version. */
  async *#differences(
    schema: Schema,
  ): AsyncGenerator<{ readonly rows: TableRows; readonly key: EncodedKey }> {
    const { signal, comparer } = this.#options;
    for (const theirs of this.#snapshot.schema.tables.values()) {
      const name = presentTable(schema, theirs.name);
      const ours = schema.tables.get(name);
      for (const kind of rowKinds(theirs)) {
        const rows = new TableRows(this.#snapshot.database, kind);
        const same = ours && rowKinds(ours).find(({ nullKey }) => nullKey.length === kind.nullKey.length);
        for (const listOf of [rowList, versionList]) {
          const list = same && await comparer.look(() => listOf(comparer, same), signal);
          for await (const keys of differences(kind, listOf(this.#snapshot.database, kind), list)) {
            signal.throwIfAborted();
            for (const key of keys) {
              if (this.#shards.has(this.#shardOf(kind, name, key))) yield { rows, key };
            }
          }
        }
      }
    }
  }

  /** `name`: what the table is called here. */
  #shardOf(table: FollowedTable, name: string, key: EncodedKey): number {
    return shardOfRow({ ...table, name }, decodeKey(key), this.#options.shards);
  }

  /** False when the schema has changed meanwhile. */
  async #adopt(different: DifferentRows, schema: Schema, isLast: boolean): Promise<boolean> {
    const { database, messages, signal } = this.#options;
    const done = await messages.withFold(async (fold) => {
      if (this.#options.schema.current !== schema) return false;
      // No write that is made on top of these rows may lie below them.
      raiseClock(database, this.#snapshot.clock);
      for (const [rows, keys] of different) {
        let count = 0;
        for (const hex of keys) {
          this.#adoptRow(fold, rows, Uint8Array.fromHex(hex));
          if (count++ % ROWS_BETWEEN_YIELDS === 0) await yieldToEventLoop();
        }
      }
      if (isLast) this.#arrive(schema);
      return true;
    }, signal);
    return done ?? false;
  }

  #adoptRow(fold: Fold, rows: TableRows, key: EncodedKey): void {
    const event = this.#decoder.decode(rows.event(key))[0]!;
    const planned = fold.plan({ ...event, ts: event.ts ?? 0n });
    if (!planned) return;
    const shard = this.#shardOf(rows.table, planned.plan.table.name, key);
    const version = this.#versions.get(rows.table, decodeKey(key));
    if (version && this.#recreated.has(shard)) return;
    fold.adopt(planned, { version, isThere: event.type !== "delete", lone: this.#fateOfLone(shard) });
  }

  /**
   * A row that only this node has: one that joins the cluster tells the others. One that was away for longer than deleted
   * rows are remembered cannot know that it was not deleted meanwhile.
   */
  #fateOfLone(shard: number): "keep" | "remove" | "send" {
    const before = this.#before.get(shard);
    if (!before) return "send";
    const { time } = this.#positions.find((position) => position.shard === shard)!;
    const retention = BigInt(this.#options.versionRetentionMs) * 1_000_000n;
    return time - before.time > retention ? "remove" : "keep";
  }

  /** What else the streams have left up to these positions, and the positions themselves. */
  #arrive(schema: Schema): void {
    const { database, node } = this.#options;
    for (const position of this.#positions) {
      const isLost = this.#recreated.has(position.shard);
      for (const table of isLost ? [] : [BATCH, PART, FINISHED_BATCH]) this.#copyRows(table, position.stream);
      const before = this.#before.get(position.shard);
      const time = before && before.time > position.time ? before.time : position.time;
      storePosition(database, { ...position, time });
    }
    const before = this.#positions.map(({ shard, ...position }) =>
      this.#before.get(shard) ?? { ...position, shard, sequence: 0 }
    );
    settleOwnChanges(database, schema, { node, before, isAlsoUnsent: true });
  }

  #copyRows(table: string, stream: string): void {
    const { database } = this.#options;
    database.run(`DELETE FROM ${quote(table)} WHERE stream = ?`, stream);
    for (const row of this.#snapshot.database.all(`SELECT * FROM ${quote(table)} WHERE stream = ?`, stream)) {
      database.run(`INSERT INTO ${quote(table)} VALUES (${row.map(() => "?").join(", ")})`, ...row);
    }
  }
}
