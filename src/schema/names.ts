import { foldCase } from "../lib/ascii.ts";

/**
 * The names of everything that we put into a user's database. Those of the global log, the change logs and the triggers
 * are documented (how-it-works.md); the others follow them.
 */
const PREFIX = "__harmonylite__";

export const GLOBAL_LOG = `${PREFIX}_global_change_log`;
/** The Go original's; it stays, empty, until our positions have been taken from its sequence map. */
export const ORIGINAL_GLOBAL_LOG = `${PREFIX}_change_log_global`;
export const CLOCK = `${PREFIX}_clock`;
export const NODE = `${PREFIX}_node`;
export const POSITION = `${PREFIX}_position`;
export const BATCH = `${PREFIX}_batch`;
export const PART = `${PREFIX}_part`;
export const FINISHED_BATCH = `${PREFIX}_finished_batch`;
export const QUARANTINE = `${PREFIX}_quarantine`;
export const CONFLICT_LOG = `${PREFIX}_conflict_log`;
export const SCHEMA_HISTORY = `${PREFIX}schema_version`;
const KEEPS_ROWID = "_keeps_rowid";

/** Changes of one table, captured by its triggers. The name of a table called `_global` would be that of the global log. */
export function changeLog(table: string): string {
  const name = `${PREFIX}${table}_change_log`;
  return foldCase(name) === GLOBAL_LOG ? `${PREFIX}${table}_changes` : name;
}

/** The table that a change log is named after; undefined for any other name. */
export function tableOfLog(name: string): string | undefined {
  return /^__harmonylite__(.+)_change_log$/s.exec(name)?.[1];
}

/** The version of each row of a table that the streams have decided on. */
export function rowVersion(table: string): string {
  return `${PREFIX}${table}_row_version`;
}

/** Likewise of the rows that have NULL in their key. */
export function nullRowVersion(table: string): string {
  return `${PREFIX}${table}_row_version_null`;
}

/** Always empty; its columns stand in for those of a table that were dropped before our triggers could follow. */
export function absentColumns(table: string): string {
  return `${PREFIX}${table}_absent`;
}

/** Keys of the rows that a REPLACE may be about to remove without firing their delete triggers. */
export function replacedKeys(table: string): string {
  return `${PREFIX}${table}_replaced`;
}

/** The index that makes VACUUM keep the rowids of a table. */
export function rowidKeeper(table: string): string {
  return `${PREFIX}${table}${KEEPS_ROWID}`;
}

export function isRowidKeeper(index: string): boolean {
  return isSpelledAsOurs(index) && index.endsWith(KEEPS_ROWID);
}

/** Temporary, of the applier alone: one row as it will stand once an event is applied. */
export function arrivingRow(table: string): string {
  return `${PREFIX}${table}_arriving`;
}

/** The column that holds a user's column in our tables. */
export function valueColumn(column: string): string {
  return `val_${column}`;
}

/** The user's column that one of our columns holds: the reverse of {@link valueColumn}. */
export function columnOf(valueColumn: string): string {
  return valueColumn.slice("val_".length);
}

/** Whether a name may be that of a table of ours: SQLite compares names without case. */
export function isOurs(name: string): boolean {
  return foldCase(name).startsWith(PREFIX);
}

/** Whether a trigger or index is ours: what is spelled otherwise is the application's. */
export function isSpelledAsOurs(name: string): boolean {
  return name.startsWith(PREFIX);
}
