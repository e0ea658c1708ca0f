import type { Database, Row, Statement } from "../sqlite/database.ts";
import { ExactRow, hasNul, mayBeDamaged } from "../sqlite/exact_row.ts";
import { quote } from "../sqlite/identifier.ts";
import { changeLog, valueColumn } from "../schema/names.ts";
import { hasTable } from "../schema/own_tables.ts";
import { type Schema, shapesOf } from "../schema/followed_tables.ts";
import type { TableShape } from "../schema/shape_history.ts";
import type { ChangeType, SqlValue } from "../wire/event.ts";

/** A change as the triggers logged it. */
export interface CapturedChange {
  /** Row id in the table's change log. */
  readonly id: bigint;
  readonly type: ChangeType;
  /** Hybrid clock, Unix nanoseconds. */
  readonly ts: bigint;
  /** What the table looked like then. */
  readonly shape: TableShape;
  /** In the order of `shape.columns`; of a delete only the key columns are reliable. */
  readonly values: readonly SqlValue[];
}

/** The columns with which a change travels, in ascending code-unit order: a delete with its key alone. */
export function travellingColumns(
  { shape, type }: Pick<CapturedChange, "shape" | "type">,
): readonly string[] {
  return type === "delete" ? [...shape.key].sort() : shape.columns;
}

interface ShapeStatements {
  readonly range: Statement;
  readonly exact: ExactRow;
}

/** Changes of one table with ids from `first` to `last`. */
interface ReadAhead {
  readonly first: bigint;
  readonly last: bigint;
  readonly changes: ReadonlyMap<bigint, CapturedChange>;
}

/** How many changes are read ahead. */
const READ_AHEAD = 127n;
/** SQLite's largest. */
const MAX_ID = (1n << 63n) - 1n;

/** What stands before the values in each row that is read. */
const FIXED = 5;

/**
 * Reads change logs. Every value comes as it was stored, also text that a JavaScript string cannot hold or that the
 * SQLite driver cuts at its first NUL: such rows are read a second time, as bytes.
 */
export class ChangeReader {
  readonly #database: Database;
  readonly #statements = new Map<number, ShapeStatements>();
  #schema: Schema;
  /** By table: changes of several tables mostly alternate. */
  readonly #ahead = new Map<string, ReadAhead>();

  constructor(database: Database, schema: Schema) {
    this.#database = database;
    this.#schema = schema;
  }

  /** Follows a schema change. */
  use(schema: Schema): void {
    if (schema === this.#schema) return;
    this.#schema = schema;
    this.#statements.clear();
  }

  /** The changes of a table with ids from `first` to `last`, in order of id. */
  range(table: string, first: bigint, last: bigint): CapturedChange[] {
    const shape = this.#currentShape(table);
    if (!shape) return [];
    const rows = this.#prepare(shape).range.all(first, last) as unknown as Row[];
    return rows.map((row) => this.#toChange(shape, row)).filter((change) => change !== undefined);
  }

  /**
   * One change, undefined when there is none under that id. Reads ahead, as whoever asks for one mostly asks for the next:
   * so `forget` must be called whenever changes may have been captured or removed since.
   */
  one(table: string, id: bigint): CapturedChange | undefined {
    const ahead = this.#ahead.get(table);
    if (ahead && id >= ahead.first && id <= ahead.last) return ahead.changes.get(id);
    // A stranger may name any id.
    const last = id > MAX_ID - READ_AHEAD ? MAX_ID : id + READ_AHEAD;
    const changes = new Map(this.range(table, id, last).map((change) => [change.id, change]));
    this.#ahead.set(table, { first: id, last, changes });
    return changes.get(id);
  }

  /** Forgets what was read ahead. */
  forget(): void {
    this.#ahead.clear();
  }

  /** Of a table that was dropped the last one: its changes may still be on their way. */
  #currentShape(table: string): TableShape | undefined {
    const followed = this.#schema.tables.get(table);
    if (followed) return this.#schema.shapes.get(followed.shapeId);
    if (this.#schema.passedOver.has(table) || !hasTable(this.#database, changeLog(table))) return undefined;
    return shapesOf(this.#schema, table).at(-1);
  }

  #prepare(shape: TableShape): ShapeStatements {
    let statements = this.#statements.get(shape.id);
    if (!statements) {
      const from = `${quote(changeLog(shape.table))} WHERE id = ?`;
      statements = {
        range: this.#database.prepare(selectChanges(shape)),
        exact: new ExactRow(this.#database, columnsOf(shape), from),
      };
      this.#statements.set(shape.id, statements);
    }
    return statements;
  }

  #toChange(current: TableShape, row: Row): CapturedChange | undefined {
    const [id, type, ts, shapeId, isCut] = row;
    const shape = this.#schema.shapes.get(Number(shapeId));
    if (typeof id !== "bigint" || typeof ts !== "bigint" || !shape) return undefined;
    const isPlain = shape === current && isCut === 0n && !mayBeDamaged(row);
    const values = isPlain ? row.slice(FIXED) : this.#prepare(shape).exact.get(id);
    return { id, type: type as ChangeType, ts, shape, values };
  }
}

function columnsOf(shape: TableShape): string[] {
  return shape.columns.map((column) => quote(valueColumn(column)));
}

function selectChanges(shape: TableShape): string {
  const columns = columnsOf(shape);
  return `SELECT id, type, ts, shape, ${hasNul(columns)}, ${columns.join(", ")} FROM ${
    quote(changeLog(shape.table))
  }
    WHERE id BETWEEN ? AND ? ORDER BY id`;
}
