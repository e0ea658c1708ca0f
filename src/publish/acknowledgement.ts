import type { IdRange, IdRanges } from "../lib/id_ranges.ts";
import { changeLog, GLOBAL_LOG, POSITION } from "../schema/names.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { presentTable, type Schema } from "../schema/followed_tables.ts";
import { hasTable } from "../schema/own_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";

/** Rows changed in one transaction: some 10 ms, in which the application waits to write. */
const MAX_ROWS_PER_TRANSACTION = 4096;

/** Where some changes stand in the database. */
export interface LoggedChanges {
  /** Ids in the global log. */
  readonly globalIds: IdRanges;
  /** Ids in the change logs, by table. */
  readonly ids: ReadonlyMap<string, IdRanges>;
  /** Of the schema under which they were read: in logs that were made anew the ids are those of other changes. */
  readonly logs: number;
  /** The stream that their shard had then, as far as this node knew; undefined when it had read none. */
  readonly stream: KnownStream | undefined;
}

/** A stream as this node has noticed it. */
export interface KnownStream {
  /** Its creation time, as the server prints it. */
  readonly created: string;
  /** Sequence of the last message that was read. */
  readonly readTo: number;
}

/** Where acknowledged changes lie. */
export interface StoredAt {
  readonly shard: number;
  /** Of the message by which they take effect: the last part of their batch. */
  readonly sequence: number;
}

/** One statement over a range of ids. */
interface Step {
  /** Undefined for the global log. */
  readonly table: string | undefined;
  readonly range: IdRange;
}

/**
 * Notes in the change logs that changes are in their stream, and takes them out of the global log.
 * A crash before or in between only means that they are sent again, which changes nothing.
 */
export async function markPublished(
  database: Database,
  schema: SchemaTracker,
  changes: LoggedChanges,
  stored: StoredAt,
): Promise<void> {
  let steps: Step[] = [];
  let rows = 0;
  const run = (): Promise<void> =>
    schema.write(() => {
      if (schema.current.logs !== changes.logs) return;
      // The stream may be lost by now, and all that was in it is to be sent again.
      if (streamOf(database, stored.shard)?.created !== changes.stream?.created) return;
      for (const step of steps) mark(database, schema.current, step, stored, [...changes.ids.keys()]);
    });
  for (const step of markingSteps(changes)) {
    const count = countOf(step.range);
    if (rows + count > MAX_ROWS_PER_TRANSACTION) {
      await run();
      [steps, rows] = [[], 0];
    }
    steps.push(step);
    rows += count;
  }
  await run();
}

/** Which stream a shard has, as far as this node has noticed; undefined when it has read none. */
export function streamOf(database: Database, shard: number): KnownStream | undefined {
  const sql = `SELECT created, sequence FROM ${quote(POSITION)} WHERE shard = ?`;
  const row = database.get(sql, BigInt(shard));
  return row && { created: String(row[0]), readTo: Number(row[1]) };
}

/** `tables`: those of all changes. */
function mark(
  database: Database,
  schema: Schema,
  { table, range }: Step,
  stored: StoredAt,
  tables: readonly string[],
): void {
  if (table === undefined) {
    const removed = database.run(`DELETE FROM ${quote(GLOBAL_LOG)} WHERE id BETWEEN ? AND ?`, ...range);
    // All that is pending was entered anew while these were on their way.
    if (removed < countOf(range)) { for (const each of tables) removeSent(database, each); }
    return;
  }
  // A table that was renamed meanwhile has taken its changes along; with one that was dropped they may have gone.
  const log = changeLog(presentTable(schema, table));
  if (!hasTable(database, log)) return;
  database.run(
    `UPDATE ${quote(log)} SET state = 1, shard = ?, sequence = ? WHERE id BETWEEN ? AND ?`,
    BigInt(stored.shard),
    BigInt(stored.sequence),
    ...range,
  );
}

function removeSent(database: Database, table: string): void {
  if (!hasTable(database, changeLog(table))) return;
  database.run(
    `DELETE FROM ${quote(GLOBAL_LOG)} WHERE table_name = ? AND change_table_id IN
       (SELECT id FROM ${quote(changeLog(table))} WHERE sequence IS NOT NULL)`,
    table,
  );
}

function* markingSteps({ globalIds, ids }: LoggedChanges): Generator<Step> {
  for (const [table, ofTable] of [...ids, [undefined, globalIds] as const]) {
    for (const range of ofTable.pieces(MAX_ROWS_PER_TRANSACTION)) yield { table, range };
  }
}

function countOf([first, last]: IdRange): number {
  return Number(last - first) + 1;
}
