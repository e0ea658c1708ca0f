import type { FollowedTable } from "../schema/followed_tables.ts";
import { isRowidKeeper, rowidKeeper } from "../schema/names.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";

/**
 * VACUUM gives the rows of a table new rowids, unless the table has an INTEGER PRIMARY KEY or an index (`xferOptimization`
 * in SQLite's insert.c): without a key, that would make them other rows. So such a table gets an index of ours. It is always
 * empty, as its condition is never true, and over a constant, so that it names no column and hinders no ALTER TABLE. A
 * write pays for opening it, and nothing else. Tried with 3.35.0, 3.40.1 and 3.53.2.
 */
function createKeeper(name: string, table: string): string {
  return `CREATE INDEX ${quote(name)} ON ${quote(table)} (0) WHERE 0`;
}

/** Gives the tables that are followed by their rowid the index that keeps it, and takes it from all others. */
export function keepRowids(database: Database, tables: readonly FollowedTable[]): void {
  const missing = new Map(
    tables.filter(({ keyIsRowid }) => keyIsRowid).map(({ name }) => [rowidKeeper(name), name]),
  );
  const indexes = database.all("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index'");
  for (const [name, table] of indexes.map((row) => row.map(String) as [string, string])) {
    if (!isRowidKeeper(name)) continue;
    // A table that was renamed has taken its index along.
    if (missing.get(name) === table) missing.delete(name);
    else database.exec(`DROP INDEX ${quote(name)}`);
  }
  for (const [name, table] of missing) database.exec(createKeeper(name, table));
}
