import { foldCase } from "../lib/ascii.ts";
import { DatabaseError } from "../lib/errors.ts";
import type { Database } from "../sqlite/database.ts";
import { literal, quote } from "../sqlite/identifier.ts";
import {
  BATCH,
  CLOCK,
  CONFLICT_LOG,
  FINISHED_BATCH,
  GLOBAL_LOG,
  isSpelledAsOurs,
  NODE,
  ORIGINAL_GLOBAL_LOG,
  PART,
  POSITION,
  QUARANTINE,
  SCHEMA_HISTORY,
} from "./names.ts";

/**
 * The tables that exist once for each database. The application's SQLite runs the triggers that write to the first two
 * and may be 3.35: nothing newer here, and no NOT NULL, so that tables emptied by hand never fail an application's write.
 */
const DEFINITIONS: Readonly<Record<string, string>> = {
  // Order of all changes, and the documented count of what is pending: a row leaves when its change is acknowledged.
  [GLOBAL_LOG]: "id INTEGER PRIMARY KEY, change_table_id INTEGER, table_name TEXT",
  // One row: the hybrid logical clock, Unix nanoseconds.
  [CLOCK]: "id INTEGER PRIMARY KEY, ts INTEGER",
  // One row: the id of the node that the database belongs to, and the clock since when. What carries that id and a later
  // clock was made in this database.
  [NODE]: "id INTEGER PRIMARY KEY, node INTEGER, since INTEGER",
  // How far each stream is applied. `created` tells a recreated stream, `time` is the highest stream time seen (ns).
  [POSITION]: "stream TEXT PRIMARY KEY, shard INTEGER, created TEXT, sequence INTEGER, time INTEGER",
  // Batches of which parts are still missing. `covered_to`: finished batches of that node hold its changes from first_ts
  // up to here; `time`: stream time of the first part that came (ns).
  [BATCH]:
    `stream TEXT, batch TEXT, node INTEGER, first_ts INTEGER, last_ts INTEGER, covered_to INTEGER, time INTEGER,
    PRIMARY KEY (stream, batch)`,
  [PART]:
    "stream TEXT, batch TEXT, part INTEGER, sequence INTEGER, data BLOB, PRIMARY KEY (stream, batch, part)",
  // The last batch of several parts that took effect, of each node: parts of it may come again.
  [FINISHED_BATCH]: "stream TEXT, node INTEGER, batch TEXT, PRIMARY KEY (stream, node)",
  // Messages that could not be understood or applied, as they came; and why a change of this node cannot be sent.
  [QUARANTINE]:
    "id INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT, sequence INTEGER, batch TEXT, part TEXT, reason TEXT, data BLOB, created_at INTEGER",
  // Images of rows that lost. `row` is a JSON object of column name to SQL literal.
  [CONFLICT_LOG]:
    "id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT, reason TEXT, row TEXT, ts INTEGER, node INTEGER, winner_ts INTEGER, winner_node INTEGER, created_at INTEGER",
  // Every shape that a followed table ever had here: columns and key as JSON arrays of names, `renamed` as an array of
  // [old name, new name]; `former` are the names that the table itself had before, the oldest first.
  [SCHEMA_HISTORY]:
    "id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT, columns TEXT, key TEXT, renamed TEXT, former TEXT, created_at INTEGER",
};

/** Creates what is missing, and names it; inside a write transaction. */
export function createOwnTables(database: Database): string[] {
  requireNames(database, Object.keys(DEFINITIONS));
  const missing = missingOwnTables(database);
  for (const name of missing) database.exec(`CREATE TABLE ${quote(name)} (${DEFINITIONS[name]})`);
  return missing;
}

/** Of the tables that exist once for each database. */
export function missingOwnTables(database: Database): string[] {
  return Object.keys(DEFINITIONS).filter((name) => !hasTable(database, name));
}

/**
 * Runs `work` with a schema history of the connection's own, which stands before that of the database and is forgotten: so a
 * connection that may not write can try what adds to the history.
 */
export function withShadowHistory<T>(database: Database, work: () => T): T {
  const name = `temp.${quote(SCHEMA_HISTORY)}`;
  const exists = hasTable(database, SCHEMA_HISTORY);
  database.exec(`CREATE TABLE ${name} (${DEFINITIONS[SCHEMA_HISTORY]})`);
  try {
    if (exists) database.exec(`INSERT INTO ${name} SELECT * FROM main.${quote(SCHEMA_HISTORY)}`);
    return work();
  } finally {
    database.exec(`DROP TABLE ${name}`);
  }
}

/** The tables that exist for each followed table are told by the ends of their names. */
const PER_TABLE = /_(change_log|changes|row_version|row_version_null|replaced|absent)$/;
const OF_CAPTURE = /_(change_log|changes|replaced|absent)$/;

/** Whether a table is one that we make; the application's may have a name that begins like ours. */
export function isOwnTable(name: string): boolean {
  return Object.hasOwn(DEFINITIONS, name) || name === ORIGINAL_GLOBAL_LOG ||
    (isSpelledAsOurs(name) && PER_TABLE.test(name));
}

/** Throws when something of the application has the name of a table of ours: SQLite tells no names apart by case. */
export function requireNames(database: Database, names: readonly string[]): void {
  const wanted = new Set(names.map(foldCase));
  const taken = database
    .all("SELECT type, name FROM sqlite_schema WHERE type <> 'trigger'")
    .map((row) => row.map(String) as [string, string])
    .find(([type, name]) => wanted.has(foldCase(name)) && (type !== "table" || !isOwnTable(name)));
  if (!taken) return;
  throw new DatabaseError(
    "NAME_TAKEN",
    `Cannot capture changes of "${database.path}": it has a ${taken[0]} "${
      taken[1]
    }", and HarmonyLite needs that name`,
    { hint: "Give it another name: those that begin with __harmonylite__ are HarmonyLite's." },
  );
}

/** What of ours is in the database: tables, triggers, indexes, by type. */
export function listOwn(database: Database, type: "table" | "trigger" | "index"): string[] {
  return database
    .all(`SELECT name FROM sqlite_schema WHERE type = ${literal(type)} ORDER BY name`)
    .map(([name]) => String(name))
    .filter(type === "table" ? isOwnTable : isSpelledAsOurs);
}

/** The tables of ours that mean something in this very database only: what was captured here, and whose it is. */
export function listCapture(database: Database): string[] {
  return listOwn(database, "table").filter((name) => name === NODE || OF_CAPTURE.test(name));
}

/** Names of all tables that were ever followed in this database, also of those that are gone. */
export function everFollowed(database: Database): string[] {
  return database
    .all(`SELECT DISTINCT table_name FROM ${quote(SCHEMA_HISTORY)}`)
    .map(([table]) => String(table));
}

/** Whether there is a table of this name, in whatever case. Asks SQLite's own index of names: `sqlite_schema` has none. */
export function hasTable(database: Database, name: string): boolean {
  return database.get("SELECT 1 FROM pragma_table_info(?)", name) !== undefined;
}
