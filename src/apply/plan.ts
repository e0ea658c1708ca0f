import { type Database, isUnpreparable, type Parameter } from "../sqlite/database.ts";
import {
  type FollowedTable,
  presentTable,
  rowKinds,
  type Schema,
  shapesOf,
} from "../schema/followed_tables.ts";
import { isOurs } from "../schema/names.ts";
import { presentName } from "../schema/shape_history.ts";
import { messageOf, WireError } from "../lib/errors.ts";
import { type ChangeEvent, isLowestInteger, RawText, type SqlValue } from "../wire/event.ts";
import { type KeyCheck, keyChecks } from "./key_affinity.ts";
import { ArrivingRows } from "./arriving_rows.ts";
import { Clashes } from "./clashes.ts";
import { EventStatement } from "./event_statement.ts";
import { deleteRow, insertRow, updateRow, vacateRowid } from "./row_sql.ts";
import type { ClusterSchemas, Whereabouts } from "../schema/cluster_schemas.ts";
import { SchemaBehindError } from "./schema_behind.ts";
import { TableUnwritableError } from "./table_unwritable.ts";

/** The statements for one table and one set of columns. */
export interface RowStatements {
  readonly vacate: EventStatement | undefined;
  readonly update: EventStatement | undefined;
  readonly insert: EventStatement;
  readonly remove: EventStatement;
  readonly clashes: Clashes;
}

/** The values of an event as they are bound, and the statements that take them. */
export interface BoundEvent {
  readonly values: Parameter[];
  readonly statements: RowStatements;
}

/** What all events of a table have in common. */
interface TablePlan {
  /** All kinds of its rows. */
  readonly kinds: readonly FollowedTable[];
  /** Why its clashes cannot be found. */
  readonly failure: string | undefined;
}

/** What applying events of one table with one set of columns takes. */
export class EventPlan {
  readonly table: FollowedTable;
  /** Columns of the table that the events do not carry: they keep their local value. */
  readonly missing: readonly string[];
  readonly #database: Database;
  readonly #columns: readonly string[];
  readonly #kinds: readonly FollowedTable[];
  readonly #failure: string | undefined;
  readonly #keyAt: readonly number[];
  readonly #keyChecks: readonly KeyCheck[];
  readonly #statements = new Map<string, RowStatements>();

  constructor(
    database: Database,
    { kinds, failure }: TablePlan,
    kind: FollowedTable,
    columns: readonly string[],
  ) {
    this.table = kind;
    this.missing = kind.columns.map(({ name }) => name).filter((name) => !columns.includes(name));
    this.#database = database;
    this.#kinds = kinds;
    this.#failure = failure;
    this.#columns = columns;
    this.#keyChecks = keyChecks(kind);
    this.#keyAt = kind.key.map(({ name }) => columns.indexOf(name));
  }

  keyValues(event: ChangeEvent): SqlValue[] {
    return this.#keyAt.map((at) => event.values[at] ?? null);
  }

  /** Throws a WireError for a key that no row of the table can have. */
  judgeKey({ values, node }: ChangeEvent): void {
    for (const [column, at] of this.#keyAt.entries()) {
      const value = values[at]!;
      if (value !== null && this.#keyChecks[column]!(value)) continue;
      const problem = value === null ? "its key is NULL" : "its key is of another type than the table's";
      throw new WireError(`Cannot apply a change of table "${this.table.name}" by node ${node}: ${problem}`);
    }
  }

  /** Throws a TableUnwritableError when there can be no such statements here. */
  bind(event: Pick<ChangeEvent, "values">): BoundEvent {
    const raw: number[] = [];
    const values = event.values.map((value, at) => {
      if (!(value instanceof RawText)) return value;
      raw.push(at);
      return value.bytes;
    });
    const keyMayDiffer = this.#keyAt.some((at) => isLowestInteger(event.values[at]));
    return { values, statements: this.#prepare(raw, keyMayDiffer) };
  }

  #prepare(raw: number[], keyMayDiffer: boolean): RowStatements {
    const name = keyMayDiffer ? `${raw} key` : raw.join();
    let statements = this.#statements.get(name);
    if (!statements) this.#statements.set(name, statements = this.#build(new Set(raw), keyMayDiffer));
    return statements;
  }

  #build(raw: ReadonlySet<number>, keyMayDiffer: boolean): RowStatements {
    const options = { table: this.table, columns: this.#columns, raw };
    const statement = (sql: string): EventStatement => new EventStatement(this.#database, sql);
    const optional = (sql: string | undefined): EventStatement | undefined =>
      sql ? statement(sql) : undefined;
    try {
      return {
        vacate: optional(vacateRowid(options)),
        update: optional(updateRow(options, keyMayDiffer)),
        insert: statement(insertRow(options)),
        remove: statement(deleteRow(options)),
        clashes: new Clashes(this.#database, options, this.#kinds),
      };
    } catch (error) {
      if (!isUnpreparable(error)) throw error;
      throw new TableUnwritableError(this.table.name, this.#failure ?? messageOf(error));
    }
  }
}

/** Plans by table and columns; first by the identity of the columns, which events of one kind share. */
class Plans {
  readonly byColumns = new WeakMap<readonly string[], Map<string, EventPlan | undefined>>();
  readonly byName = new Map<string, EventPlan>();
}

export interface PlannerOptions {
  readonly database: Database;
  readonly schema: Schema;
  /** Told once of what is left out because no node of the cluster has it any more. */
  readonly onLeftOut: (text: string) => void;
}

/** Finds the plan of an event under the schema as it is now, and judges events that do not fit it. */
export class Planner {
  readonly #database: Database;
  readonly #onLeftOut: (text: string) => void;
  readonly #arriving: ArrivingRows;
  #schema: Schema;
  #plans = new Plans();
  #cluster: ClusterSchemas | undefined;
  /** What rests on the schemas of the cluster holds for no other messages than those at hand. */
  #clusterPlans = new Plans();

  constructor({ database, schema, onLeftOut }: PlannerOptions) {
    this.#database = database;
    this.#onLeftOut = onLeftOut;
    this.#schema = schema;
    this.#arriving = new ArrivingRows(database);
    this.#arriving.use(schema);
  }

  /** `cluster`: read after the messages at hand had been stored; undefined while nothing unknown was met in them. */
  use(schema: Schema, cluster: ClusterSchemas | undefined): void {
    if (schema !== this.#schema) {
      this.#plans = new Plans();
      this.#arriving.use(schema);
    }
    if (schema !== this.#schema || cluster !== this.#cluster) this.#clusterPlans = new Plans();
    this.#schema = schema;
    this.#cluster = cluster;
  }

  /** The tables that this program's SQLite cannot write, each with the reason. */
  unwritable(): TableUnwritableError[] {
    return [...this.#schema.tables.values()].flatMap((table) => {
      try {
        this.#plan(table, table, table.columns.map(({ name }) => name)).bind({ values: [] });
        return [];
      } catch (error) {
        if (error instanceof TableUnwritableError) return [error];
        throw error;
      }
    });
  }

  #plan(followed: FollowedTable, kind: FollowedTable, columns: readonly string[]): EventPlan {
    const failure = this.#arriving.failure(followed.name);
    return new EventPlan(this.#database, { kinds: rowKinds(followed), failure }, kind, columns);
  }

  /**
   * Undefined for an event of a table that is not followed here by choice, or was dropped here or everywhere.
   * Throws a SchemaBehindError for what this database does not know yet, a WireError for what no database of the cluster
   * ever knew.
   */
  find(event: ChangeEvent): EventPlan | undefined {
    const { byColumns } = this.#cluster ? this.#clusterPlans : this.#plans;
    let plans = byColumns.get(event.columns);
    if (!plans) byColumns.set(event.columns, plans = new Map());
    if (!plans.has(event.table)) plans.set(event.table, this.#make(event));
    const plan = plans.get(event.table);
    plan?.judgeKey(event);
    return plan;
  }

  #make(event: ChangeEvent): EventPlan | undefined {
    const followed = this.#schema.tables.get(presentTable(this.#schema, event.table));
    if (!followed) return this.#passOver(event);
    // Only rows with NULL in their key travel with a rowid beside it.
    const { nullRows } = followed;
    const table = nullRows && event.columns.includes(nullRows.rowid!) ? nullRows : followed;
    const columns = this.#presentNames(table, event.columns);
    if (this.#hadOtherKey(table, columns)) return undefined;
    this.#judgeColumns(event, table, columns);
    const { byName } = this.#cluster ? this.#clusterPlans : this.#plans;
    const name = JSON.stringify([event.table, event.columns]);
    let plan = byName.get(name);
    if (!plan) byName.set(name, plan = this.#plan(followed, table, columns));
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

  /** Whether these columns are of a table with another key that had the same name here once: it was dropped. */
  #hadOtherKey(table: FollowedTable, columns: readonly string[]): boolean {
    const carried = (key: readonly string[]): boolean => key.every((column) => columns.includes(column));
    return !carried(table.key.map(({ name }) => name)) &&
      shapesOf(this.#schema, table.name).some(({ key }) => carried(key));
  }

  #passOver(event: ChangeEvent): undefined {
    if (isOurs(event.table)) {
      throw new WireError(`Cannot apply a change of "${event.table}": that table is not a user's`);
    }
    const wasDropped = shapesOf(this.#schema, presentTable(this.#schema, event.table)).length > 0;
    if (wasDropped || this.#schema.passedOver.has(event.table)) return;
    this.#judge(event, "that table", this.#cluster?.find(event.table));
  }

  /** A column that this table had once and lost is left out; one that it never had is asked for in the cluster. */
  #judgeColumns(event: ChangeEvent, table: FollowedTable, columns: readonly string[]): void {
    const known = new Set(shapesOf(this.#schema, table.name).flatMap((shape) => shape.columns));
    for (const column of columns) {
      if (known.has(column)) continue;
      this.#judge(event, `the column "${column}"`, this.#cluster?.find(table.name, column));
    }
    const keyless = table.key.find(({ name }) => !columns.includes(name));
    if (!keyless) return;
    const what = `a change without the key column "${keyless.name}"`;
    this.#judge(event, what, this.#cluster?.findKey(table.name, event.columns));
  }

  /** Returns when what is unknown here may be left out. */
  #judge(event: ChangeEvent, what: string, found: Whereabouts | undefined): void {
    const known = `this database does not know ${what}`;
    const text = `Cannot apply a change of table "${event.table}" by node ${event.node}: ${known}`;
    switch (found?.state) {
      case "past":
        return this.#onLeftOut(`Table "${event.table}": ${known}, and no node has it any more`);
      case "never":
        throw new WireError(`${text}, and no node of the cluster ever had it`);
      case "there":
        throw new SchemaBehindError(event.table, `${text}, which node ${found.node} has`, this.#schema);
      case "unsaid":
        throw new SchemaBehindError(event.table, `${text}, and ${found.reason}`, this.#schema);
      default:
        throw new SchemaBehindError(event.table, text, this.#schema);
    }
  }
}
