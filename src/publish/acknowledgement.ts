import { countOf, type IdRange, type IdRanges } from "../lib/id_ranges.ts";
import { changeLog, GLOBAL_LOG, POSITION } from "../schema/names.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { presentTable, type Schema } from "../schema/followed_tables.ts";
import { hasTable } from "../schema/own_tables.ts";
import type { Database, Parameter } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";

/** Rows changed in one transaction: some 10 ms, in which the application waits to write. */
const MAX_ROWS_PER_TRANSACTION = 4096;
/** Runs of fewer ids are put together in one statement, up to so many ids: of several shards each has some of the ids. */
const SHORT_RUN = 16;
const MAX_LISTED_IDS = 512;

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

/** Some ids, as a condition in SQL. */
interface IdCondition {
  readonly sql: string;
  readonly parameters: Parameter[];
  readonly count: number;
}

/** One statement over some ids. */
interface Step {
  /** Undefined for the global log. */
  readonly table: string | undefined;
  readonly ids: IdCondition;
}

/**
 * Notes in the change logs that changes are in their stream, and takes them out of the global log.
 * A crash before or in between only means that they are sent again, which changes nothing. Resolves to false when they will be:
 * the logs were made anew, or the shard is known to have another stream than it was when they were read.
 */
export async function markPublished(
  database: Database,
  schema: SchemaTracker,
  changes: LoggedChanges,
  stored: StoredAt,
): Promise<boolean> {
  let steps: Step[] = [];
  let rows = 0;
  const run = (): Promise<boolean> =>
    schema.write(() => {
      if (schema.current.logs !== changes.logs) return false;
      // The stream may be lost by now, and all that was in it is to be sent again.
      if (streamOf(database, stored.shard)?.created !== changes.stream?.created) return false;
      for (const step of steps) mark(database, schema.current, step, stored, [...changes.ids.keys()]);
      return true;
    });
  for (const step of markingSteps(changes)) {
    const { count } = step.ids;
    if (rows + count > MAX_ROWS_PER_TRANSACTION) {
      if (!await run()) return false;
      [steps, rows] = [[], 0];
    }
    steps.push(step);
    rows += count;
  }
  return await run();
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
  { table, ids }: Step,
  stored: StoredAt,
  tables: readonly string[],
): void {
  if (table === undefined) {
    const removed = database.run(`DELETE FROM ${quote(GLOBAL_LOG)} WHERE ${ids.sql}`, ...ids.parameters);
    // All that is pending was entered anew while these were on their way.
    if (removed < ids.count) { for (const each of tables) removeSent(database, each); }
    return;
  }
  // A table that was renamed meanwhile has taken its changes along; with one that was dropped they may have gone.
  const log = changeLog(presentTable(schema, table));
  if (!hasTable(database, log)) return;
  database.run(
    `UPDATE ${quote(log)} SET state = 1, shard = ?, sequence = ? WHERE ${ids.sql}`,
    BigInt(stored.shard),
    BigInt(stored.sequence),
    ...ids.parameters,
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
    for (const condition of conditionsOf(ofTable)) yield { table, ids: condition };
  }
}

function* conditionsOf(ids: IdRanges): Generator<IdCondition> {
  let short: IdRange[] = [];
  let count = 0;
  for (const range of ids.pieces(MAX_ROWS_PER_TRANSACTION)) {
    if (countOf(range) > SHORT_RUN) {
      yield between(range);
      continue;
    }
    short.push(range);
    count += countOf(range);
    if (count < MAX_LISTED_IDS) continue;
    yield oneOf(short, count);
    [short, count] = [[], 0];
  }
  const [first] = short;
  if (first) yield short.length === 1 ? between(first) : oneOf(short, count);
}

function between(range: IdRange): IdCondition {
  return { sql: "id BETWEEN ? AND ?", parameters: [...range], count: countOf(range) };
}

function oneOf(ranges: readonly IdRange[], count: number): IdCondition {
  const ids: bigint[] = [];
  for (const [first, last] of ranges) for (let id = first; id <= last; id++) ids.push(id);
  return { sql: "id IN (SELECT value FROM json_each(?))", parameters: [`[${ids.join()}]`], count };
}
