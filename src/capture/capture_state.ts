import { foldCase } from "../lib/ascii.ts";
import { type FollowedTable, readSchema, type TableFilter } from "../schema/followed_tables.ts";
import { changeLog, GLOBAL_LOG, valueColumn } from "../schema/names.ts";
import { hasTable, listOwn, missingOwnTables, withShadowHistory } from "../schema/own_tables.ts";
import { ShapeHistory } from "../schema/shape_history.ts";
import type { Database } from "../sqlite/database.ts";
import { planTriggers } from "./change_log.ts";
import { loggedColumns } from "./trigger_sql.ts";

/** How what is installed compares with what the schema wants. */
export interface CaptureState {
  /** Whether anything is installed at all. */
  readonly installed: boolean;
  /** Tables that are followed. */
  readonly tables: readonly FollowedTable[];
  /** Tables that would be followed but cannot be: name to the reason. */
  readonly leftOut: ReadonlyMap<string, string>;
  /** Of ours, those that are not there. */
  readonly missingTables: readonly string[];
  /** Change logs that lack a column: `log.column`. */
  readonly missingColumns: readonly string[];
  /** Triggers that are missing, or not as they should be. */
  readonly staleTriggers: readonly string[];
}

/** Reads it, in one transaction of a connection that may not write. */
export function readCaptureState(database: Database, filter: TableFilter): CaptureState {
  const missing = missingOwnTables(database);
  const { tables, leftOut, stale } = withShadowHistory(database, () => {
    const schema = readSchema(database, filter, new ShapeHistory(database), new Map());
    const tables = [...schema.tables.values()];
    const { drop, create } = planTriggers(database, tables);
    return { tables, leftOut: schema.leftOut, stale: [...drop, ...create.map(({ name }) => name)] };
  });
  const logs = tables.map(({ name }) => changeLog(name));
  return {
    installed: !missing.includes(GLOBAL_LOG) || listOwn(database, "trigger").length > 0,
    tables,
    leftOut,
    missingTables: [...missing, ...logs.filter((name) => !hasTable(database, name))],
    missingColumns: tables.flatMap((table) => missingColumns(database, table)),
    staleTriggers: [...new Set(stale)],
  };
}

function missingColumns(database: Database, table: FollowedTable): string[] {
  const log = changeLog(table.name);
  const there = database.all("SELECT name FROM pragma_table_info(?)", log).map(([name]) =>
    foldCase(String(name))
  );
  if (there.length === 0) return [];
  return loggedColumns(table).map(valueColumn).filter((name) => !there.includes(foldCase(name)))
    .map((name) => `${log}.${name}`);
}
