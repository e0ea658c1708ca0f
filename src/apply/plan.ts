import type { Database, Parameter, Row, Statement } from "../sqlite/database.ts";
import { type FollowedTable, type Schema, shapesOf } from "../schema/followed_tables.ts";
import { isOurs } from "../schema/names.ts";
import { presentName } from "../schema/shape_history.ts";
import { WireError } from "../lib/errors.ts";
import { type ChangeEvent, RawText, type SqlValue } from "../wire/event.ts";
import { deleteRow, insertRow, selectClashing, updateRow, vacateRowid } from "./row_sql.ts";
import { SchemaBehindError } from "./schema_behind.ts";

/** A statement over the values of an event. SQLite refuses more values than the statement names. */
class EventStatement {
  readonly #statement: Statement;
  readonly #count: number;

  constructor(database: Database, sql: string) {
    this.#statement = database.prepare(sql);
    this.#count = Math.max(0, ...[...sql.matchAll(/\?(\d+)/g)].map((match) => Number(match[1])));
  }

  /** How many rows were changed. */
  run(values: Parameter[]): number {
    return Number(this.#statement.run(...this.#cut(values)).changes);
  }

  all(values: Parameter[]): Row[] {
    return this.#statement.all(...this.#cut(values)) as unknown as Row[];
  }

  #cut(values: Parameter[]): Parameter[] {
    return values.length === this.#count ? values : values.slice(0, this.#count);
  }
}

/** The statements for one table and one set of columns. */
export interface RowStatements {
  readonly vacate: EventStatement | undefined;
  readonly update: EventStatement | undefined;
  readonly insert: EventStatement;
  readonly remove: EventStatement;
  readonly clashing: readonly EventStatement[];
}

/** What applying events of one table with one set of columns takes. */
export class EventPlan {
  readonly table: FollowedTable;
  /** Columns of the table that the events do not carry: they keep their local value. */
  readonly missing: readonly string[];
  readonly #database: Database;
  readonly #columns: readonly string[];
  readonly #keyAt: readonly number[];
  readonly #statements = new Map<string, RowStatements>();

  constructor(database: Database, table: FollowedTable, columns: readonly string[]) {
    this.table = table;
    this.missing = table.columns.map(({ name }) => name).filter((name) => !columns.includes(name));
    this.#database = database;
    this.#columns = columns;
    this.#keyAt = table.key.map(({ name }) => columns.indexOf(name));
  }

  keyValues(event: ChangeEvent): SqlValue[] {
    return this.#keyAt.map((at) => event.values[at] ?? null);
  }

  /** Whether no column of its key is NULL. */
  hasKey({ values }: ChangeEvent): boolean {
    return this.#keyAt.every((at) => values[at] !== null);
  }

  /** The values as they are bound, and the statements that take them. */
  bind(event: ChangeEvent): { values: Parameter[]; statements: RowStatements } {
    const raw: number[] = [];
    const values = event.values.map((value, at) => {
      if (!(value instanceof RawText)) return value;
      raw.push(at);
      return value.bytes;
    });
    return { values, statements: this.#prepare(raw) };
  }

  #prepare(raw: number[]): RowStatements {
    const name = raw.join();
    let statements = this.#statements.get(name);
    if (!statements) this.#statements.set(name, statements = this.#build(new Set(raw)));
    return statements;
  }

  #build(raw: ReadonlySet<number>): RowStatements {
    const options = { table: this.table, columns: this.#columns, raw };
    const statement = (sql: string): EventStatement => new EventStatement(this.#database, sql);
    const optional = (sql: string | undefined): EventStatement | undefined =>
      sql ? statement(sql) : undefined;
    return {
      vacate: optional(vacateRowid(options)),
      update: optional(updateRow(options)),
      insert: statement(insertRow(options)),
      remove: statement(deleteRow(options)),
      clashing: selectClashing(options).map(statement),
    };
  }
}

/** Finds the plan of an event under the schema as it is now, and judges events that do not fit it. */
export class Planner {
  readonly #database: Database;
  #schema: Schema;
  #byColumns = new WeakMap<readonly string[], Map<string, EventPlan>>();
  #byName = new Map<string, EventPlan>();

  constructor(database: Database, schema: Schema) {
    this.#database = database;
    this.#schema = schema;
  }

  use(schema: Schema): void {
    if (schema === this.#schema) return;
    this.#schema = schema;
    this.#byColumns = new WeakMap();
    this.#byName.clear();
  }

  /**
   * Undefined for an event of a table that is not followed here by choice, or was dropped here.
   * Throws a SchemaBehindError for what this database does not know yet, a WireError for what it never can.
   */
  find(event: ChangeEvent): EventPlan | undefined {
    let plans = this.#byColumns.get(event.columns);
    if (!plans) this.#byColumns.set(event.columns, plans = new Map());
    let plan = plans.get(event.table);
    if (!plan) {
      plan = this.#make(event);
      if (plan) plans.set(event.table, plan);
    }
    if (plan && !plan.hasKey(event)) {
      throw new WireError(`Cannot apply a change of table "${event.table}": its key is NULL`);
    }
    return plan;
  }

  #make(event: ChangeEvent): EventPlan | undefined {
    const followed = this.#schema.tables.get(event.table);
    if (!followed) return this.#passOver(event);
    // Only rows with NULL in their key travel with a rowid beside it.
    const { nullRows } = followed;
    const table = nullRows && event.columns.includes(nullRows.rowid!) ? nullRows : followed;
    const columns = this.#presentNames(table, event.columns);
    this.#judgeColumns(event, table, columns);
    const name = JSON.stringify([event.table, event.columns]);
    let plan = this.#byName.get(name);
    if (!plan) {
      plan = new EventPlan(this.#database, table, columns);
      this.#byName.set(name, plan);
    }
    return plan;
  }

  /** A column that was renamed here may still come under its old name, from nodes that have yet to rename it. */
  #presentNames(table: FollowedTable, columns: readonly string[]): string[] {
    const shapes = shapesOf(this.#schema, table.name);
    const there = new Set(table.columns.map(({ name }) => name));
    return columns.map((column) => {
      if (there.has(column)) return column;
      const name = presentName(shapes, column);
      return columns.includes(name) ? column : name;
    });
  }

  #passOver(event: ChangeEvent): undefined {
    if (isOurs(event.table)) {
      throw new WireError(`Cannot apply a change of "${event.table}": that table is not a user's`);
    }
    const wasDropped = shapesOf(this.#schema, event.table).length > 0;
    if (!wasDropped && !this.#schema.passedOver.has(event.table)) throw this.#behind(event, "that table");
    return undefined;
  }

  /** A column that this table had once and lost is left out; one that it never had has to be waited for. */
  #judgeColumns(event: ChangeEvent, table: FollowedTable, columns: readonly string[]): void {
    const known = new Set(shapesOf(this.#schema, table.name).flatMap((shape) => shape.columns));
    const unknown = columns.find((column) => !known.has(column));
    if (unknown !== undefined) throw this.#behind(event, `the column "${unknown}"`);
    const keyless = table.key.find(({ name }) => !columns.includes(name));
    if (keyless) throw this.#behind(event, `a change without the key column "${keyless.name}"`);
  }

  /** A sender with our own schema cannot know more than we do: its event is wrong, and waiting would not help. */
  #behind(event: ChangeEvent, what: string): Error {
    const text =
      `Cannot apply a change of table "${event.table}" by node ${event.node}: this database does not know ${what}`;
    return event.schemaHash === this.#schema.hash ? new WireError(text) : new SchemaBehindError(text);
  }
}
