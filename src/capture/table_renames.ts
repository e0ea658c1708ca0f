import {
  absentColumns,
  changeLog,
  GLOBAL_LOG,
  isOurs,
  nullRowVersion,
  replacedKeys,
  rowVersion,
} from "../schema/names.ts";
import { everFollowed, hasTable } from "../schema/own_tables.ts";
import type { ShapeHistory } from "../schema/shape_history.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { insertTrigger } from "./trigger_sql.ts";

/**
 * The tables that were renamed since our triggers were laid, as these go along with a table but keep their own names.
 *
 * @returns name of the table then, to its name now
 */
export function renamedTables(database: Database): Map<string, string> {
  const renamed = new Map<string, string>();
  for (const table of everFollowed(database)) {
    const now = database.value(
      "SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name = ?",
      insertTrigger(table),
    );
    if (now !== undefined && now !== table) renamed.set(table, String(now));
  }
  return renamed;
}

/**
 * Lets what was captured of a renamed table, the versions of its rows and its history go along; inside a write transaction.
 * Not where it took the place of a table that we know: that one's are kept.
 */
export function takeAlong(database: Database, history: ShapeHistory, from: string, to: string): void {
  if (hasTable(database, changeLog(to)) || !hasTable(database, changeLog(from))) return;
  for (const trigger of triggersOn(database, to, replacedKeys(from))) {
    database.exec(`DROP TRIGGER ${quote(trigger)}`);
  }
  for (const scratch of [absentColumns(from), replacedKeys(from)]) {
    database.exec(`DROP TABLE IF EXISTS ${quote(scratch)}`);
  }
  renameTable(database, changeLog(from), changeLog(to));
  for (const versions of [rowVersion, nullRowVersion]) {
    if (hasTable(database, versions(from))) renameTable(database, versions(from), versions(to));
  }
  database.run(`UPDATE ${quote(GLOBAL_LOG)} SET table_name = ? WHERE table_name = ?`, to, from);
  history.renameTable(from, to);
}

function triggersOn(database: Database, ...tables: string[]): string[] {
  const names = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?";
  return tables.flatMap((table) => database.all(names, table)).map(([name]) => String(name)).filter(isOurs);
}

/** Renames a table of ours. Its indexes go: their names tell whose they are, and who needs them makes them. */
function renameTable(database: Database, from: string, to: string): void {
  const indexes = database.all("SELECT name FROM pragma_index_list(?) WHERE origin = 'c'", from);
  for (const [index] of indexes) database.exec(`DROP INDEX ${quote(String(index))}`);
  database.exec(`DROP TABLE IF EXISTS ${quote(to)}`);
  // Or it would be refused wherever a view of the user's names something that is not there.
  database.exec("PRAGMA legacy_alter_table = ON");
  try {
    database.exec(`ALTER TABLE ${quote(from)} RENAME TO ${quote(to)}`);
  } finally {
    database.exec("PRAGMA legacy_alter_table = OFF");
  }
}
