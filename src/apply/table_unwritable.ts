import { HarmonyLiteError } from "../lib/errors.ts";

/**
 * The SQLite in this program cannot write a table: its indexes, triggers or columns need a collation, a function or a
 * module that only the application's SQLite has. What is meant for it waits.
 */
export class TableUnwritableError extends HarmonyLiteError {
  override name = "TableUnwritableError";
  readonly table: string;

  constructor(table: string, reason: string) {
    super("TABLE_UNWRITABLE", `Cannot write table "${table}": ${reason}`, {
      hint:
        "HarmonyLite's SQLite lacks what the application's has. Drop the index, trigger or column that needs it; " +
        "replication then goes on by itself. Or leave the table out ([tables] exclude) on all nodes.",
    });
    this.table = table;
  }
}
