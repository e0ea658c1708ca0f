import type { Table } from "../sqlite/catalog.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { SCHEMA_HISTORY } from "./names.ts";

/** A shape that a table had: the columns a change holds that was captured then. */
export interface TableShape {
  readonly id: number;
  readonly table: string;
  /** In ascending code-unit order. */
  readonly columns: readonly string[];
  readonly key: readonly string[];
  /** Columns that were renamed when it came: old name to new. */
  readonly renamed: ReadonlyMap<string, string>;
  /** What the table was called before, the oldest name first. */
  readonly former: readonly string[];
}

const NONE: ReadonlyMap<string, string> = new Map();

/** Every shape that any followed table ever had in a database, in the order in which they came. */
export class ShapeHistory {
  readonly #database: Database;
  readonly #shapes = new Map<number, TableShape>();

  constructor(database: Database) {
    this.#database = database;
    const rows = database.all(
      `SELECT id, table_name, columns, key, renamed, former FROM ${quote(SCHEMA_HISTORY)} ORDER BY id`,
    );
    for (const [id, table, columns, key, renamed, former] of rows) {
      this.#shapes.set(Number(id), {
        id: Number(id),
        table: String(table),
        columns: JSON.parse(String(columns)),
        key: JSON.parse(String(key)),
        renamed: new Map(JSON.parse(String(renamed))),
        former: JSON.parse(String(former)),
      });
    }
  }

  /** By id. */
  get shapes(): ReadonlyMap<number, TableShape> {
    return this.#shapes;
  }

  /** Those of one table, the oldest first. */
  of(table: string): TableShape[] {
    return [...this.#shapes.values()].filter((shape) => shape.table === table);
  }

  /** The shape of a table as it is now, which joins the history if it is new; inside a write transaction. */
  current({ name, columns, key }: Table, renamed = NONE): TableShape {
    return this.find(name, columns.map((column) => column.name), key.map((column) => column.name), renamed);
  }

  /** The shape with these columns, which joins the history if it is new; inside a write transaction. */
  find(table: string, columns: readonly string[], key: readonly string[], renamed = NONE): TableShape {
    const [columnsText, keyText] = [JSON.stringify(columns), JSON.stringify(key)];
    const there = [...this.#shapes.values()].findLast((shape) =>
      shape.table === table && JSON.stringify(shape.columns) === columnsText &&
      JSON.stringify(shape.key) === keyText
    );
    if (there && renamed.size === 0) return there;
    const id = this.#database.count(
      `INSERT INTO ${quote(SCHEMA_HISTORY)} (table_name, columns, key, renamed, former, created_at)
       VALUES (?, ?, ?, ?, '[]', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)) RETURNING id`,
      table,
      columnsText,
      keyText,
      JSON.stringify([...renamed]),
    );
    const shape = { id, table, columns, key, renamed, former: [] };
    this.#shapes.set(id, shape);
    return shape;
  }

  /** A table has another name now: its shapes go along, and remember the one they had; inside a write transaction. */
  renameTable(from: string, to: string): void {
    for (const shape of this.of(from)) {
      const former = [...shape.former, from];
      this.#shapes.set(shape.id, { ...shape, table: to, former });
      this.#database.run(
        `UPDATE ${quote(SCHEMA_HISTORY)} SET table_name = ?, former = ? WHERE id = ?`,
        to,
        JSON.stringify(former),
        BigInt(shape.id),
      );
    }
  }
}

/**
 * The name that a column has now, going by what it was called once; its own name if it was never renamed.
 *
 * @param shapes all that the table had, the oldest first
 */
export function presentName(shapes: readonly TableShape[], column: string): string {
  return shapes.reduce((name, { renamed }) => renamed.get(name) ?? name, column);
}
