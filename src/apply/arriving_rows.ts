import { messageOf } from "../lib/errors.ts";
import type { Schema } from "../schema/followed_tables.ts";
import { arrivingRow } from "../schema/names.ts";
import { knowsCollation } from "../sqlite/catalog.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { createLike } from "../sqlite/table_sql.ts";

/** For each table with UNIQUE indexes a temporary one with its columns, for the row that {@link Clashes} judges. */
export class ArrivingRows {
  readonly #database: Database;
  readonly #created = new Map<string, string>();
  readonly #failures = new Map<string, string>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Follows a schema change. */
  use(schema: Schema): void {
    this.#failures.clear();
    const tables = [...schema.tables.values()].filter(({ uniques }) => uniques.length > 0);
    const wanted = new Map(tables.map(({ name }) => [name, this.#declare(name)]));
    for (const [name, sql] of this.#created) {
      if (wanted.get(name) !== sql) this.#drop(name);
    }
    for (const [name, sql] of wanted) {
      if (!this.#created.has(name)) this.#create(name, sql);
    }
  }

  /** Why a table has none, undefined if it has: it may be declared with what only the application's SQLite knows. */
  failure(table: string): string | undefined {
    return this.#failures.get(table);
  }

  #declare(table: string): string {
    const sql = this.#database.value(
      "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?",
      table,
    );
    const columns = this.#database.all("SELECT name FROM pragma_table_xinfo(?)", table);
    return createLike(
      String(sql),
      arrivingRow(table),
      columns.map(([name]) => String(name)),
      (collation) => knowsCollation(this.#database, collation),
    );
  }

  #drop(table: string): void {
    this.#database.exec(`DROP TABLE temp.${quote(arrivingRow(table))}`);
    this.#created.delete(table);
  }

  #create(table: string, sql: string): void {
    try {
      this.#database.exec(sql);
      this.#created.set(table, sql);
    } catch (error) {
      this.#failures.set(table, messageOf(error));
    }
  }
}
