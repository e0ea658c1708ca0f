import type { Database } from "../sqlite/database.ts";
import { literal, quote, quotedNames } from "../sqlite/identifier.ts";
import type { ChangeType } from "../wire/event.ts";
import {
  absentColumns,
  changeLog,
  CLOCK,
  columnOf,
  GLOBAL_LOG,
  replacedKeys,
  valueColumn,
} from "../schema/names.ts";
import { hasNull, holdsUnique, newRow, sameKey } from "../schema/row_conditions.ts";
import type { FollowedTable } from "../schema/followed_tables.ts";

/**
 * The SQL that captures changes: text, which `change_log.ts` puts into the database.
 *
 * The application's own SQLite runs these triggers inside its own transactions, and may be 3.35. Inside a trigger the
 * outer statement's conflict clause replaces that of our statements, so only ON CONFLICT DO UPDATE is used, which it
 * leaves alone. No function that needs `trusted_schema`.
 *
 * SQLite refuses `ALTER TABLE … DROP COLUMN` while a trigger names the column and could not be compiled without it. So
 * every column that can be dropped is named in a way that has something else to mean then: a column of the same name in
 * a table of ours that is always empty. It stands behind the user's in the scope of the name, and gives NULL.
 */

/** Wall clock in Unix nanoseconds, to the millisecond. */
const NOW_NS = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000";

/** Advances the hybrid logical clock: above everything written or received before, and not behind the wall clock. */
export const TICK = `INSERT INTO ${quote(CLOCK)} (id, ts) VALUES (1, ${NOW_NS})
    ON CONFLICT (id) DO UPDATE SET ts = max(ts + 1, excluded.ts)`;

const RAISE = `INSERT INTO ${quote(CLOCK)} (id, ts) VALUES (1, ?)
    ON CONFLICT (id) DO UPDATE SET ts = max(ts, excluded.ts)`;

/** No write of this node may lie below a change that it has seen, whatever its wall clock says; inside a write transaction. */
export function raiseClock(database: Database, ts: bigint): void {
  database.run(RAISE, ts);
}

/** This node's clock: at or above all that it has written or seen. */
export function readClock(database: Database): bigint {
  return database.value(`SELECT ts FROM ${quote(CLOCK)} WHERE id = 1`) as bigint | undefined ?? 0n;
}

/** Enters the change logged by the statement before into the order of all changes; nothing, if that logged nothing. */
function enterGlobalLog(table: FollowedTable): string {
  return `INSERT INTO ${quote(GLOBAL_LOG)} (change_table_id, table_name)
    SELECT last_insert_rowid(), ${literal(table.name)} WHERE changes() > 0`;
}

/** The clock as a table of one row, with a column that no user's column hides. */
const NOW_NAME = "__harmonylite__now";
const NOW = quote(NOW_NAME);
const CLOCK_ROW = `(SELECT ts AS ${NOW} FROM ${quote(CLOCK)} WHERE id = 1)`;

/** Logs a change: `source` names where the values come from, `from` is the rest of the SELECT. */
function logChange(
  table: FollowedTable,
  columns: readonly string[],
  type: ChangeType,
  source: (column: string) => string,
  from: string,
): string {
  const targets = columns.map((column) => quote(valueColumn(column))).join(", ");
  const values = columns.map(source).join(", ");
  return `INSERT INTO ${quote(changeLog(table.name))} (${targets}, type, created_at, state, ts, shape)
    SELECT ${values}, ${literal(type)}, ${NOW} / 1000000, 0, ${NOW}, ${shapeOf(table, source)} FROM ${from}`;
}

/** Which of the table's shapes a change has, as SQL; `source` names where its values come from. */
export function shapeOf(
  { key, shapeId, nullRows }: FollowedTable,
  source: (column: string) => string,
): string {
  return nullRows
    ? `CASE WHEN ${hasNull(key, source)} THEN ${nullRows.shapeId} ELSE ${shapeId} END`
    : `${shapeId}`;
}

/** The columns of a change log: those of all kinds of rows. */
export function loggedColumns(table: FollowedTable): string[] {
  return (table.nullRows ?? table).columns.map(({ name }) => name);
}

/** The columns that identify a row of any kind. */
export function identityColumns({ key, nullRows }: FollowedTable): string[] {
  return [...key, ...nullRows?.key ?? []].map(({ name }) => name);
}

/** `left`, a row, is the one that `right` identifies: NULL in a key is equal to none, and the rowid has to tell. */
function isSame(table: FollowedTable, left: string, right: (column: string) => string): string {
  const same = sameKey(table.key, left, right);
  const { key, nullRows } = table;
  return nullRows
    ? `${same} AND (NOT ${hasNull(key, right)} OR ${sameKey(nullRows.key, left, right)})`
    : same;
}

/**
 * Logs a row, chosen by a condition on `row`, as it stands in its table now. In a trigger NEW itself is stale when a user's
 * trigger changed the same row and fired before ours: it would be logged last, and every replica would keep the old value.
 */
export function logRow(table: FollowedTable, type: ChangeType, condition: string): string[] {
  const change = logChange(
    table,
    loggedColumns(table),
    type,
    ofRow(table),
    `${rowsAsTheyStand(table)} WHERE ${condition}`,
  );
  return [change, enterGlobalLog(table)];
}

/** Logs all rows of a table whose change log is empty, as inserted one after the other; not for use in a trigger. */
export function logAllRows(table: FollowedTable): string[] {
  const log = quote(changeLog(table.name));
  return [
    TICK,
    logChange(table, loggedColumns(table), "insert", ofRow(table), rowsAsTheyStand(table)),
    // Each has a clock of its own.
    `UPDATE ${log} SET ts = ts + id`,
    `INSERT INTO ${quote(GLOBAL_LOG)} (change_table_id, table_name)
      SELECT id, ${literal(table.name)} FROM ${log} ORDER BY id`,
    `UPDATE ${
      quote(CLOCK)
    } SET ts = max(ts, (SELECT max(ts) FROM ${log})) WHERE EXISTS (SELECT 1 FROM ${log})`,
  ];
}

/**
 * A natural join gives a name that both sides have to the left one, and asks for nothing that either lacks. It compares
 * columns under their collations: where one is not known to every SQLite, a program that lacks it could not write any more.
 */
function rowsAsTheyStand({ name, hasOwnCollation }: FollowedTable): string {
  const absent = hasOwnCollation ? "" : ` NATURAL LEFT JOIN ${quote(absentColumns(name))}`;
  return `${quote(name)} AS row${absent} JOIN ${CLOCK_ROW}`;
}

function ofRow({ rowid, hasOwnCollation }: FollowedTable): (column: string) => string {
  return (column) => column === rowid || hasOwnCollation ? `row.${quote(column)}` : quote(column);
}

/** The row of NEW: by rowid where there is one, which is the cheapest and tells rows with NULL in their key apart. */
function isNew(table: FollowedTable): string {
  return table.rowid
    ? `row.${quote(table.rowid)} = NEW.${quote(table.rowid)}`
    : sameKey(table.key, "row", ofNew);
}

const ofNew = (column: string): string => `NEW.${quote(column)}`;
const ofOld = (column: string): string => `OLD.${quote(column)}`;

/**
 * No row has this key any more. A user's trigger that fired before ours may have put one there: logged after that, a
 * delete would remove it from every replica.
 */
function isGone(table: FollowedTable, source: (column: string) => string): string {
  return `NOT EXISTS (SELECT 1 FROM ${quote(table.name)} AS row WHERE ${isSame(table, "row", source)})`;
}

/** Logs the row of OLD as deleted. In a SELECT of its own OLD means the row, and what the row lacks means the join outside. */
function logOldRow(table: FollowedTable): string[] {
  const from = `${CLOCK_ROW} LEFT JOIN ${quote(absentColumns(table.name))} AS old
    WHERE ${isGone(table, ofOld)}`;
  const source = (column: string): string => `(SELECT ${ofOld(column)})`;
  return [logChange(table, loggedColumns(table), "delete", source, from), enterGlobalLog(table)];
}

/** Logs a key as deleted; its columns cannot be dropped. */
function logOldKey(table: FollowedTable, source: (column: string) => string): string[] {
  return [logChange(table, identityColumns(table), "delete", source, CLOCK_ROW), enterGlobalLog(table)];
}

/** Says of a note that its row is gone. */
export const GONE = "gone";

/**
 * Removes the notes, which logs a delete for each row that is gone; before the tick of the row that replaced them. Whether
 * it is gone is found out here: the trigger on our own table stays when the user's is dropped, and must not name it, or
 * SQLite would refuse to rename anything from then on.
 */
function settleReplaced(table: FollowedTable): string[] {
  if (table.uniques.length === 0) return [];
  const notes = quote(replacedKeys(table.name));
  const noted = isSame(table, "row", (name) => `${notes}.${quote(valueColumn(name))}`);
  return [
    `UPDATE ${notes} SET ${GONE} = 1 WHERE NOT EXISTS (SELECT 1 FROM ${
      quote(table.name)
    } AS row WHERE ${noted})`,
    `DELETE FROM ${notes}`,
  ];
}

/** Removes the note of a row that goes in the ordinary way: settled later, it would delete what comes back under its key. */
function forgetNote(table: FollowedTable): string[] {
  if (table.uniques.length === 0) return [];
  const noted = identityColumns(table).map((name) => `${quote(valueColumn(name))} IS ${ofOld(name)}`)
    .join(" AND ");
  return [`DELETE FROM ${quote(replacedKeys(table.name))} WHERE ${noted}`];
}

/** The name of the trigger that logs inserts into a table. */
export function insertTrigger(table: string): string {
  return `${changeLog(table)}_on_insert`;
}

/**
 * Which columns have another name now than when a trigger was made: `ALTER TABLE … RENAME COLUMN` changes names in the
 * text of triggers too, but not those of our change log's columns.
 *
 * @param sql text of the table's insert trigger as `sqlite_schema` has it
 * @returns name of the column when the trigger was made, to its name now
 */
export function renamedColumns(table: string, sql: string): Map<string, string> {
  const names = quotedNames(sql);
  // The columns of the change log, then where their values come from: as many of one as of the other.
  const logged = names.slice(names.indexOf(changeLog(table)) + 1, names.indexOf(NOW_NAME));
  const targets = logged.slice(0, logged.length / 2).map(columnOf);
  const pairs = targets.map((before, at): [string, string] => [before, logged[targets.length + at]!]);
  return new Map(pairs.filter(([before, after]) => before !== after));
}

/** Trigger name to the text of the whole statement, as `sqlite_schema` keeps it. */
export function captureTriggers(table: FollowedTable): Map<string, string> {
  const base = changeLog(table.name);
  const on = quote(table.name);
  const triggers = new Map<string, string>();
  const add = (name: string, event: string, steps: string[]): void => {
    const body = steps.map((step) => `  ${step};\n`).join("");
    triggers.set(name, `CREATE TRIGGER ${quote(name)} ${event}\nBEGIN\n${body}END`);
  };
  add(insertTrigger(table.name), `AFTER INSERT ON ${on}`, [
    ...settleReplaced(table),
    TICK,
    ...logRow(table, "insert", isNew(table)),
  ]);
  add(`${base}_on_update`, `AFTER UPDATE ON ${on}`, [
    ...settleReplaced(table),
    TICK,
    ...logRow(table, "update", isNew(table)),
  ]);
  add(`${base}_on_delete`, `AFTER DELETE ON ${on}`, [
    TICK,
    ...logOldRow(table),
    ...forgetNote(table),
  ]);
  add(
    `${base}_on_update_key`,
    `AFTER UPDATE ON ${on} WHEN NOT (${isSame(table, "OLD", ofNew)}) AND ${isGone(table, ofOld)}`,
    [TICK, ...logOldKey(table, ofOld)],
  );
  if (table.uniques.length > 0) addReplaceTriggers(table, add);
  return triggers;
}

/**
 * REPLACE removes the rows that hold a UNIQUE value of the new row without firing delete triggers. So the keys that clash
 * are noted before, and afterwards those that are gone are logged as deleted. A note that OR IGNORE or a failure leaves
 * behind does no harm: its row is still there when it is settled.
 */
function addReplaceTriggers(
  table: FollowedTable,
  add: (name: string, event: string, steps: string[]) => void,
): void {
  const base = changeLog(table.name);
  const notes = quote(replacedKeys(table.name));
  const keyNames = identityColumns(table);
  const columns = keyNames.map((name) => quote(valueColumn(name))).join(", ");
  const keys = keyNames.map((name) => `row.${quote(name)}`).join(", ");
  const note = (...but: ((column: string) => string)[]): string[] =>
    table.uniques.map((index) =>
      `INSERT INTO ${notes} (${columns}) SELECT ${keys} FROM ${quote(table.name)} AS row
    WHERE ${holdsUnique(index, newRow(index))}${
        but.map((itself) => ` AND NOT (${isSame(table, "row", itself)})`).join("")
      }`
    );
  add(`${base}_before_insert`, `BEFORE INSERT ON ${quote(table.name)}`, note(ofNew));
  add(`${base}_before_update`, `BEFORE UPDATE ON ${quote(table.name)}`, [
    ...loadSources(table),
    ...note(ofNew, ofOld),
  ]);
  add(
    `${base}_on_replace`,
    `AFTER DELETE ON ${notes} WHEN OLD.${GONE}`,
    [TICK, ...logOldKey(table, (name) => `OLD.${quote(valueColumn(name))}`)],
  );
}

/**
 * In a BEFORE UPDATE trigger a column that is neither changed nor named is NULL, and generated columns of NEW are computed
 * from that (tried on 3.40 and 3.53). So what they are computed from is named.
 */
function loadSources({ uniques }: FollowedTable): string[] {
  const sources = [...new Set(uniques.flatMap((index) => index.sources))];
  return sources.length > 0 ? [`SELECT ${sources.map(ofNew).join(", ")} WHERE 0`] : [];
}
