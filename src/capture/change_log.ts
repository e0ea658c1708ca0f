import { foldCase } from "../lib/ascii.ts";
import { knowsCollation } from "../sqlite/catalog.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import {
  type FollowedTable,
  follows,
  readSchema,
  type Renames,
  rowKinds,
  type Schema,
  schemaVersion,
  type TableFilter,
} from "../schema/followed_tables.ts";
import {
  absentColumns,
  changeLog,
  GLOBAL_LOG,
  isOurs,
  isSpelledAsOurs,
  nullRowVersion,
  replacedKeys,
  rowVersion,
  valueColumn,
} from "../schema/names.ts";
import { createOwnTables, everFollowed, hasTable, listOwn, requireNames } from "../schema/own_tables.ts";
import { presentName, ShapeHistory } from "../schema/shape_history.ts";
import { enterUnsent, removeOriginal, type TakenOver } from "./left_behind.ts";
import { forgetEntries, restoreState } from "./lost_state.ts";
import { keepRowids } from "./rowid_keeper.ts";
import { renamedTables, takeAlong } from "./table_renames.ts";
import {
  captureTriggers,
  GONE,
  identityColumns,
  insertTrigger,
  logAllRows,
  loggedColumns,
  renamedColumns,
  shapeOf,
} from "./trigger_sql.ts";

/** What was done to follow the schema as it is. */
export interface Installation {
  readonly schema: Omit<Schema, "logs">;
  /** Tables whose triggers were laid anew. */
  readonly changed: readonly string[];
  /** Whether a log of captured changes was made anew. */
  readonly madeLogs: boolean;
  /** Set when the Go original had captured changes in this database so far. */
  readonly takenOver: TakenOver | undefined;
}

/**
 * Brings triggers, change logs and version tables in line with the schema: creates what is missing, adds columns, lays
 * triggers anew that differ, removes those of tables that are no longer followed. Change logs are never dropped here, so
 * nothing pending is lost. Writes nothing when all is as it should be.
 */
export async function installCapture(
  database: Database,
  filter: TableFilter,
  signal?: AbortSignal,
): Promise<Installation> {
  return await database.write(() => {
    const left = removeOriginal(database);
    const made = createOwnTables(database);
    restoreState(database, made);
    const renamed = renamedTables(database);
    const columns = renamedColumnsOf(database, renamed);
    const history = new ShapeHistory(database);
    for (const [from, to] of renamed) if (follows(filter, to)) takeAlong(database, history, from, to);
    const known = everFollowed(database);
    const schema = readSchema(database, filter, history, columns);
    const tables = [...schema.tables.values()];
    requireNames(database, tables.flatMap(({ name }) => tablesOf(name)));
    const madeLogs = tables.filter((table) => createTablesOf(database, table));
    keepRowids(database, tables);
    const takenOver = left && enterUnsent(database, left, tables, history);
    const changed = layTriggers(database, tables);
    captureNewTables(database, madeLogs, known);
    for (const name of changed) {
      adoptUnknown(database, schema.tables.get(name)!, history);
      adoptDropped(database, schema.tables.get(name)!, history);
    }
    return {
      schema: { ...schema, version: schemaVersion(database) },
      changed,
      madeLogs: madeLogs.length > 0 || made.includes(GLOBAL_LOG),
      takenOver,
    };
  }, signal);
}

/**
 * What a table holds that came since capture was installed was written where nothing was captured yet: in the transaction
 * that created the table, or while no node ran. At the first start there is nothing to tell that from what all nodes have.
 */
function captureNewTables(
  database: Database,
  tables: readonly FollowedTable[],
  known: readonly string[],
): void {
  if (known.length === 0) return;
  const names = new Set(known.map(foldCase));
  for (const table of tables.filter(({ name }) => !names.has(foldCase(name)))) {
    for (const step of logAllRows(table)) database.exec(step);
  }
}

/** Removes all our triggers, so that nothing is captured any more; inside a write transaction. */
export function dropTriggers(database: Database): void {
  for (const name of listOwn(database, "trigger")) database.exec(`DROP TRIGGER ${quote(name)}`);
}

function tablesOf(table: string): string[] {
  return [changeLog, rowVersion, nullRowVersion, absentColumns, replacedKeys].map((nameOf) => nameOf(table));
}

/** Whether it had no change log. */
function createTablesOf(database: Database, table: FollowedTable): boolean {
  const madeLog = createChangeLog(database, table);
  for (const rows of rowKinds(table)) createRowVersions(database, rows);
  const columns = table.columns.map(({ name }) => name).filter((name) => name !== table.rowid);
  createScratch(database, absentColumns(table.name), columns);
  if (table.uniques.length > 0) {
    createScratch(database, replacedKeys(table.name), [...identityColumns(table).map(valueColumn), GONE]);
  }
  return madeLog;
}

/**
 * `val_` columns have no type, so that no affinity rewrites a value. `shape` is the row of the schema history that says
 * which of them hold the change; `shard` and `sequence` say where it lies in the streams once it is acknowledged; `node`
 * is NULL, or the one that made a change which is sent again after its stream was lost.
 * No AUTOINCREMENT, which would write one page more for each transaction: housekeeping leaves the newest row, so ids rise
 * all the same. Returns whether it was missing.
 */
function createChangeLog(database: Database, table: FollowedTable): boolean {
  const name = changeLog(table.name);
  const columns = loggedColumns(table).map(valueColumn);
  if (!hasTable(database, name)) {
    database.exec(
      `CREATE TABLE ${quote(name)} (id INTEGER PRIMARY KEY, ${columns.map(quote).join(", ")},
       type TEXT, created_at INTEGER, state INTEGER, ts INTEGER, shape INTEGER, shard INTEGER, sequence INTEGER,
       node INTEGER)`,
    );
    forgetEntries(database, table.name);
    return true;
  }
  // SQLite compares names without case.
  const there = new Set(
    database.all("SELECT lower(name) FROM pragma_table_info(?)", name).map(([column]) => column),
  );
  for (const column of columns) {
    if (there.has(foldCase(column))) continue;
    database.exec(`ALTER TABLE ${quote(name)} ADD COLUMN ${quote(column)}`);
  }
  return false;
}

/**
 * `deleted` is 0 for a row that is there, and for a tombstone the stream time of its message, Unix nanoseconds.
 * A collation that only the application's SQLite has is left out: such a table cannot be written here anyway.
 * When a key column was renamed its versions go with it; a table that came back with another key starts without any.
 */
function createRowVersions(database: Database, table: FollowedTable): void {
  const name = table.versionTable;
  const wanted = table.key.map((column) => valueColumn(column.name));
  const there = keyColumns(database, name);
  // Names that only changed places are another key.
  if (
    there.length === wanted.length &&
    there.every((column, at) => column === wanted[at] || !wanted.includes(column))
  ) {
    wanted.forEach((column, at) => renameColumn(database, name, there[at]!, column));
  } else {
    if (there.length > 0) database.exec(`DROP TABLE ${quote(name)}`);
    const columns = table.key.map(({ name, collation }) =>
      `${quote(valueColumn(name))} COLLATE ${
        knowsCollation(database, collation) ? quote(collation) : "BINARY"
      }`
    );
    database.exec(
      `CREATE TABLE ${quote(name)} (${
        columns.join(", ")
      }, ts INTEGER, node INTEGER, hash INTEGER, deleted INTEGER,
       PRIMARY KEY (${wanted.map(quote).join(", ")})) WITHOUT ROWID`,
    );
  }
  database.exec(
    `CREATE INDEX IF NOT EXISTS ${quote(`${name}_deleted`)} ON ${quote(name)} (deleted) WHERE deleted <> 0`,
  );
}

/** The columns of a version table's key, in order; none when there is no such table. */
function keyColumns(database: Database, name: string): string[] {
  return database
    .all("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", name)
    .map(([column]) => String(column));
}

function renameColumn(database: Database, table: string, from: string, to: string): void {
  if (from === to) return;
  database.exec(`ALTER TABLE ${quote(table)} RENAME COLUMN ${quote(from)} TO ${quote(to)}`);
}

/** A table that is empty between two statements, so it may be made anew at any time. */
function createScratch(database: Database, name: string, columns: string[]): void {
  const there = database.all("SELECT name FROM pragma_table_info(?)", name).map(([column]) => column);
  if (there.join("\0") === columns.join("\0")) return;
  database.exec(
    `DROP TABLE IF EXISTS ${quote(name)}; CREATE TABLE ${quote(name)} (${columns.map(quote).join(", ")})`,
  );
}

/** Changes of a shape that is not in the history, as that was emptied by hand, have the one that their table has now. */
function adoptUnknown(database: Database, table: FollowedTable, history: ShapeHistory): void {
  const shape = shapeOf(table, (column) => quote(valueColumn(column)));
  const known = history.of(table.name).map(({ id }) => id).join(", ");
  database.run(
    `UPDATE ${
      quote(changeLog(table.name))
    } SET shape = ${shape} WHERE sequence IS NULL AND shape NOT IN (${known})`,
  );
}

/**
 * After a column was dropped, and before our triggers were laid anew, changes were logged with NULL in its place. They are
 * not to say NULL to nodes that still have it: behind the last one that held a value they become changes without it.
 */
function adoptDropped(database: Database, { name, columns }: FollowedTable, history: ShapeHistory): void {
  const log = quote(changeLog(name));
  const present = new Set(columns.map((column) => column.name));
  for (const [id] of database.all(`SELECT DISTINCT shape FROM ${log} WHERE sequence IS NULL`)) {
    const shape = history.shapes.get(Number(id));
    const lost = shape?.columns.filter((column) => !present.has(presentName(history.of(name), column))) ?? [];
    if (!shape || lost.length === 0) continue;
    const rest = shape.columns.filter((column) => !lost.includes(column));
    const held = lost.map((column) => `${quote(valueColumn(column))} IS NOT NULL`).join(" OR ");
    database.run(
      `UPDATE ${log} SET shape = ? WHERE shape = ? AND sequence IS NULL
       AND id > coalesce((SELECT max(id) FROM ${log} WHERE ${held}), 0)`,
      BigInt(history.find(name, rest, shape.key).id),
      id!,
    );
  }
}

/** Drops our triggers that are not as they should be, creates those that are missing; names the tables concerned. */
function layTriggers(database: Database, tables: readonly FollowedTable[]): string[] {
  const { drop, create } = planTriggers(database, tables);
  for (const name of drop) database.exec(`DROP TRIGGER ${quote(name)}`);
  for (const { sql } of create) database.exec(sql);
  return [...new Set(create.map(({ table }) => table.name))];
}

/** What has to be done so that the triggers are as they should be; reads only. */
export function planTriggers(
  database: Database,
  tables: readonly FollowedTable[],
): { readonly drop: readonly string[]; readonly create: readonly PlannedTrigger[] } {
  const there = readTriggers(database);
  const wanted = tables.flatMap((table) =>
    [...captureTriggers(table)].map(([name, sql]) => ({ name, sql, table }))
  );
  const overtaken = overtakenTriggers(database);
  const right = new Set(
    wanted.filter(({ name, sql }) => there.get(name) === sql && !overtaken.has(name)).map(({ name }) => name),
  );
  return {
    drop: [...there.keys()].filter((name) => !right.has(name)),
    create: wanted.filter(({ name }) => !right.has(name)),
  };
}

interface PlannedTrigger {
  readonly name: string;
  readonly sql: string;
  readonly table: FollowedTable;
}

/**
 * Those of our triggers behind which the user made one on the same table. SQLite fires the newest first, and after its
 * RAISE(IGNORE) no other, though an AFTER trigger leaves the row in place: only the newest captures all.
 */
function overtakenTriggers(database: Database): Set<string> {
  const overtaken = new Set<string>();
  const behindUsers = new Set<string>();
  const newestFirst =
    "SELECT name, lower(tbl_name) FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid DESC";
  for (const [name, table] of database.all(newestFirst)) {
    if (!isOurs(String(name))) behindUsers.add(String(table));
    else if (behindUsers.has(String(table))) overtaken.add(String(name));
  }
  return overtaken;
}

/** Which columns were renamed since our triggers were laid, by table; `tables` that were renamed count as they are called now. */
function renamedColumnsOf(database: Database, tables: ReadonlyMap<string, string>): Renames {
  const triggers = readTriggers(database);
  return new Map(
    everFollowed(database).flatMap((table) => {
      const sql = triggers.get(insertTrigger(table));
      return sql === undefined ? [] : [[tables.get(table) ?? table, renamedColumns(table, sql)]];
    }),
  );
}

function readTriggers(database: Database): Map<string, string> {
  const rows = database.all("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'");
  return new Map(
    rows.map((row) => row.map(String) as [string, string]).filter(([name]) => isSpelledAsOurs(name)),
  );
}
