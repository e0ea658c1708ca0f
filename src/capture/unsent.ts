import { follows, type TableFilter } from "../schema/followed_tables.ts";
import { changeLog, GLOBAL_LOG } from "../schema/names.ts";
import { hasTable } from "../schema/own_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";

/**
 * Where the oldest change lies that is in no stream yet, if any captured up to a moment of the hybrid clock is not: its id in
 * the order of all changes, which moves on as changes are sent. Those that are refused for good, and those of tables that
 * are not followed any more, do not count.
 *
 * @param ts Unix nanoseconds
 */
export function oldestUnsent(database: Database, filter: TableFilter, ts: bigint): bigint | undefined {
  const tables = database.all(`SELECT DISTINCT table_name FROM ${quote(GLOBAL_LOG)}`)
    .map(([name]) => String(name))
    .filter((name) => follows(filter, name) && hasTable(database, changeLog(name)));
  const found = tables.map((table) =>
    database.value(
      `SELECT global.id FROM ${quote(GLOBAL_LOG)} AS global
       JOIN ${quote(changeLog(table))} AS log ON log.id = change_table_id
       WHERE table_name = ? AND log.ts <= ? AND log.state IS NOT -1 ORDER BY global.id LIMIT 1`,
      table,
      ts,
    )
  );
  return found.filter((id) => typeof id === "bigint").sort((a, b) => a < b ? -1 : 1)[0];
}

/** When the first of all changes that wait was captured, Unix milliseconds; undefined when none waits, or its row is gone. */
export function oldestCapturedAt(database: Database): number | undefined {
  const sql = `SELECT change_table_id, table_name FROM ${quote(GLOBAL_LOG)} ORDER BY id LIMIT 1`;
  const [id, table] = database.get(sql) ?? [];
  if (typeof id !== "bigint") return undefined;
  const log = changeLog(String(table));
  if (!hasTable(database, log)) return undefined;
  const at = database.get(`SELECT created_at FROM ${quote(log)} WHERE id = ?`, id)?.[0];
  return typeof at === "bigint" ? Number(at) : undefined;
}
