import { foldCase } from "../lib/ascii.ts";
import type { FollowedTable } from "../schema/followed_tables.ts";
import {
  changeLog,
  GLOBAL_LOG,
  ORIGINAL_GLOBAL_LOG,
  SCHEMA_HISTORY,
  tableOfLog,
  valueColumn,
} from "../schema/names.ts";
import { hasTable, listOwn } from "../schema/own_tables.ts";
import { hasNull } from "../schema/row_conditions.ts";
import type { ShapeHistory } from "../schema/shape_history.ts";
import type { Database } from "../sqlite/database.ts";
import { literal, quote } from "../sqlite/identifier.ts";
import { hasColumn, reenterPending } from "./lost_state.ts";
import { logRow, raiseClock, TICK } from "./trigger_sql.ts";

/**
 * A database in which the Go original captured changes is taken over where it stands: its triggers and tables go, which
 * have the names of ours but not their columns, and what it had not sent yet is sent by us.
 *
 * Crash point: all of it, and the installation of our own capture, is one transaction. So each change is pending in its
 * tables or in ours, never in both and never in none. Its global log stays behind, empty: it says that positions are still
 * to be taken from its sequence map, see `agent/original_positions.ts`.
 */

/** What it had not sent when its tables were removed, until our own are there. */
export interface LeftBehind {
  /** Names of its change logs to the temporary tables that hold what of them was not sent. */
  readonly logs: ReadonlyMap<string, string>;
}

/** What became of its unsent changes. */
export interface TakenOver {
  /** Pending now in our own logs. */
  readonly pending: number;
  /** Of tables that are not followed or have lost their key since: nobody can send these. */
  readonly lost: number;
}

/** By log and id: the time of a change, Unix nanoseconds, each above the one before in the order in which it captured them. */
const TIMES = "temp.harmonylite_left_times";
const NOW_MS = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";

/** Removes what the original made, and keeps what it had not sent; inside a write transaction. Undefined when there is none. */
export function removeOriginal(database: Database): LeftBehind | undefined {
  const logs = originalLogs(database);
  const hasHistory = hasTable(database, SCHEMA_HISTORY) && !hasColumn(database, SCHEMA_HISTORY, "columns");
  if (logs.length === 0 && !hasHistory) return undefined;
  for (const name of listOwn(database, "trigger")) database.exec(`DROP TRIGGER ${quote(name)}`);
  database.exec(`CREATE TABLE IF NOT EXISTS ${quote(ORIGINAL_GLOBAL_LOG)}
    (id INTEGER PRIMARY KEY, change_table_id INTEGER, table_name TEXT)`);
  const copies = new Map(logs.map((log, at) => [log, copyUnsent(database, log, `harmonylite_left_${at}`)]));
  noteTimes(database, copies);
  database.exec(`DELETE FROM ${quote(ORIGINAL_GLOBAL_LOG)}`);
  for (const table of hasHistory ? [...logs, SCHEMA_HISTORY] : logs) {
    database.exec(`DROP TABLE ${quote(table)}`);
  }
  return { logs: copies };
}

/** Its change logs have a state as ours do, but do not say where in a stream a change lies. */
function originalLogs(database: Database): string[] {
  return listOwn(database, "table").filter((name) =>
    tableOfLog(name) !== undefined && name !== GLOBAL_LOG &&
    hasColumn(database, name, "state") && !hasColumn(database, name, "sequence")
  );
}

/** State 1 is what it has sent; what failed (-1) reached nobody. */
function copyUnsent(database: Database, log: string, copy: string): string {
  database.exec(`CREATE TEMP TABLE ${copy} AS SELECT * FROM ${quote(log)} WHERE state IS NOT 1`);
  return `temp.${copy}`;
}

/** Its clock is the wall clock in milliseconds: many changes have the same, and one may have been set back since. */
function noteTimes(database: Database, copies: ReadonlyMap<string, string>): void {
  database.exec(
    `CREATE TEMP TABLE harmonylite_left_times (log, id, ts, PRIMARY KEY (log, id)) WITHOUT ROWID`,
  );
  const changes = [...copies].map(([log, copy]) =>
    `SELECT ${literal(log)} AS log, left.id, place,
       CASE WHEN typeof(created_at) = 'integer' AND created_at BETWEEN 0 AND ${NOW_MS} THEN created_at
            ELSE ${NOW_MS} END AS at
     FROM ${copy} AS left LEFT JOIN (
       SELECT change_table_id, min(id) AS place FROM ${quote(ORIGINAL_GLOBAL_LOG)}
       WHERE table_name = ${literal(tableOfLog(log)!)} GROUP BY change_table_id
     ) ON change_table_id = left.id`
  );
  if (changes.length === 0) return;
  database.exec(
    `INSERT INTO ${TIMES} SELECT log, id, max(at * 1000000 - n) OVER (ORDER BY n) + n FROM
       (SELECT log, id, at, row_number() OVER (ORDER BY place IS NULL, place, at, id) AS n
        FROM (${changes.join(" UNION ALL ")}))`,
  );
}

/** Enters what the original had not sent into our own logs, with its times; inside the transaction of {@link removeOriginal}. */
export function enterUnsent(
  database: Database,
  { logs }: LeftBehind,
  tables: readonly FollowedTable[],
  history: ShapeHistory,
): TakenOver {
  const byLog = new Map(tables.map((table) => [foldCase(changeLog(table.name)), table]));
  let pending = 0;
  let lost = 0;
  for (const [log, copy] of logs) {
    const count = database.count(`SELECT count(*) FROM ${copy}`);
    const table = byLog.get(foldCase(log));
    const entered = table && count > 0 ? enterLog(database, table, history, log, copy) : 0;
    pending += entered;
    lost += Math.max(0, count - entered);
    database.exec(`DROP TABLE ${copy}`);
  }
  raiseClock(database, (database.value(`SELECT max(ts) FROM ${TIMES}`) ?? 0n) as bigint);
  // Later than all that is in the streams: by that, what this node sent before is told from another node with its id.
  database.exec(`${TICK}; DROP TABLE ${TIMES}`);
  if (pending > 0) reenterPending(database);
  return { pending, lost };
}

/** Returns how many changes are pending now. Those of rows with NULL in their key are replaced by the rows themselves. */
function enterLog(
  database: Database,
  table: FollowedTable,
  history: ShapeHistory,
  log: string,
  copy: string,
): number {
  const logged = new Set(
    database.all("SELECT lower(name) FROM pragma_table_info(?, 'temp')", copy.slice("temp.".length)).map(
      ([name]) => name,
    ),
  );
  const isLogged = (column: string): boolean => logged.has(foldCase(valueColumn(column)));
  const key = table.key.map(({ name }) => name);
  if (!key.every(isLogged)) return 0;
  const columns = table.columns.map(({ name }) => name).filter(isLogged);
  const list = columns.map((name) => quote(valueColumn(name))).join(", ");
  const nulls = hasNull(table.key, (name) => `left.${quote(valueColumn(name))}`);
  const entered = database.run(
    `INSERT INTO ${quote(changeLog(table.name))} (${list}, type, created_at, state, ts, shape)
     SELECT ${list}, type, times.ts / 1000000, 0, times.ts, ${history.find(table.name, columns, key).id}
     FROM ${copy} AS left JOIN ${TIMES} AS times ON times.log = ${literal(log)} AND times.id = left.id
     WHERE NOT ${nulls} ORDER BY times.ts`,
  );
  const hasNulls = database.count(`SELECT EXISTS (SELECT 1 FROM ${copy} AS left WHERE ${nulls})`) === 1;
  return entered + (hasNulls ? logNullRows(database, table) : 0);
}

/** It tells rows with NULL in their key by that key, which tells none apart: all that are there are sent as they are. */
function logNullRows(database: Database, table: FollowedTable): number {
  const { rowid } = table;
  if (!rowid) return 0;
  const nulls = hasNull(table.key, quote);
  const rows = database.all(`SELECT ${quote(rowid)} FROM ${quote(table.name)} WHERE ${nulls}`);
  for (const [id] of rows) {
    database.exec(TICK);
    const [logIt] = logRow(table, "insert", `row.${quote(rowid)} = ${id}`);
    database.exec(logIt!);
  }
  return rows.length;
}
