import { changeLog, CLOCK, GLOBAL_LOG } from "../schema/names.ts";
import { everFollowed, listOwn } from "../schema/own_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { literal, quote } from "../sqlite/identifier.ts";
import { raiseClock } from "./trigger_sql.ts";

/**
 * What can be made good after a user dropped or emptied tables of ours by hand. All inside the write transaction in which
 * they were made anew.
 */

/** Entered one table after the other, then in the order in which the changes were made. */
const PENDING = "temp.harmonylite_pending";

/** Makes good a loss of what is kept once for a database; `made` are the tables that were not there. */
export function restoreState(database: Database, made: readonly string[]): void {
  if (made.includes(GLOBAL_LOG)) enterPending(database);
  if (database.count(`SELECT count(*) FROM ${quote(CLOCK)}`) === 0) restoreClock(database);
}

/** A change log was made anew: entries in the order of all changes that point into it mean nothing any more. */
export function forgetEntries(database: Database, table: string): void {
  database.run(`DELETE FROM ${quote(GLOBAL_LOG)} WHERE table_name = ?`, table);
}

/** By table, the change logs that there are; one that another program left behind has no `sequence`, and is not ours. */
function changeLogs(database: Database): Map<string, string> {
  const there = database.all("SELECT name FROM sqlite_schema WHERE type = 'table'").map(([name]) =>
    String(name)
  );
  return new Map(
    [...everFollowed(database), ...there]
      .map((table) => [table, changeLog(table)] as const)
      .filter(([, log]) => hasColumn(database, log, "sequence")),
  );
}

/** Whether a table is there and has a column. */
export function hasColumn(database: Database, table: string, column: string): boolean {
  return database.get("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", table, column) !== undefined;
}

/** What has no sequence is in no stream yet. */
function enterPending(database: Database): void {
  database.exec(`CREATE TEMP TABLE harmonylite_pending (ts, id, table_name)`);
  for (const [table, log] of changeLogs(database)) {
    database.exec(
      `INSERT INTO ${PENDING} SELECT ts, id, ${literal(table)} FROM ${quote(log)}
       WHERE sequence IS NULL AND state IS NOT -1`,
    );
  }
  database.exec(
    `INSERT INTO ${quote(GLOBAL_LOG)} (change_table_id, table_name)
       SELECT id, table_name FROM ${PENDING} ORDER BY ts, id;
     DROP TABLE ${PENDING}`,
  );
}

/** Some changes are pending again: all that are pending are entered anew, in the order in which they were made. */
export function reenterPending(database: Database): void {
  const last = database.value(`SELECT max(id) FROM ${quote(GLOBAL_LOG)}`) ?? 0n;
  enterPending(database);
  // Behind the others, so that no entry gets the id of another one that is just being sent.
  database.run(`DELETE FROM ${quote(GLOBAL_LOG)} WHERE id <= ?`, last);
}

/** No write may lie below a change that was seen before. */
function restoreClock(database: Database): void {
  for (const name of listOwn(database, "table")) {
    if (name === CLOCK || !hasColumn(database, name, "ts")) continue;
    const highest = database.value(`SELECT max(ts) FROM ${quote(name)}`);
    if (typeof highest === "bigint") raiseClock(database, highest);
  }
}
