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
  /** The node that made it, when it is another one's that is sent again. */
  readonly node: bigint | undefined;
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
  readonly some: Statement;
  readonly exact: ExactRow;
}

/** How many changes are read together: what lives for long fills V8's young generation, which then grows (measured). */
const READ_TOGETHER = 32;
/** SQLite's largest. */
const MAX_ID = (1n << 63n) - 1n;
/** A change of more bytes is read by itself and not kept. */
const LARGE_CHANGE_BYTES = 64 * 1024;
/** Values of one change that travel, all together. What is more cannot be sent: it would have to be in memory several times. */
export const MAX_CHANGE_BYTES = 256 * 1024 * 1024;
/** Of a value of a key, in a message to a person. */
const MAX_DESCRIBED_CHARS = 60;

/** What stands before the values in each row that is read. */
const FIXED = 6;

/**
 * Reads change logs. Every value comes as it was stored, also text that a JavaScript string cannot hold or that the
 * SQLite driver cuts at its first NUL: such rows are read a second time, as bytes.
 */
export class ChangeReader {
  readonly #database: Database;
  readonly #statements = new Map<number, ShapeStatements>();
  #schema: Schema;
  /** What was read ahead, by table: changes of several tables mostly alternate. Undefined for what is not there, or large. */
  readonly #ahead = new Map<string, ReadonlyMap<bigint, CapturedChange | undefined>>();
  /** Ids that will be asked for, by table. */
  #expected: ReadonlyMap<string, readonly bigint[]> = new Map();

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

  /** Which changes will be asked for, by table and in that order: else those with the next ids are read ahead. */
  expect(ids: ReadonlyMap<string, readonly bigint[]>): void {
    this.#expected = ids;
  }

  /**
   * One change, undefined when there is none under that id, or one of more than {@link MAX_CHANGE_BYTES}. Reads ahead, as
   * whoever asks for one mostly asks for the next: so `forget` must be called whenever changes may have been removed since.
   */
  one(table: string, id: bigint): CapturedChange | undefined {
    if (!this.#ahead.get(table)?.has(id)) this.#readAhead(table, id);
    return this.aside(table, id);
  }

  /** Hybrid clock of a change, undefined when there is none under that id. */
  timeOf(table: string, id: bigint): bigint | undefined {
    if (!this.#currentShape(table)) return undefined;
    return this.#database.value(`SELECT ts FROM ${quote(changeLog(table))} WHERE id = ?`, id) as
      | bigint
      | undefined;
  }

  /** Bytes of the values with which a change travels, 0 when there is none under that id. Does not read them. */
  bytesOf(table: string, id: bigint): number {
    const shape = this.#currentShape(table);
    return shape ? this.#database.count(selectBytes(shape), id) : 0;
  }

  /** The key of a change for a person: `id=7`, long values cut. */
  describeKey(table: string, id: bigint): string {
    const key = this.#currentShape(table)?.key ?? [];
    const values = key.map((column) => `substr(${quote(valueColumn(column))}, 1, ${MAX_DESCRIBED_CHARS})`);
    const row = this.#database.get(
      `SELECT ${values.join(", ")} FROM ${quote(changeLog(table))} WHERE id = ?`,
      id,
    );
    return key.map((column, at) => `${column}=${row?.[at]}`).join(", ");
  }

  /** One change, without reading ahead: for a look aside from the order in which changes come. */
  aside(table: string, id: bigint): CapturedChange | undefined {
    return this.#ahead.get(table)?.get(id) ?? this.#single(table, id);
  }

  /** Forgets what was read ahead. */
  forget(): void {
    this.#ahead.clear();
    this.#expected = new Map();
  }

  #readAhead(table: string, id: bigint): void {
    const shape = this.#currentShape(table);
    if (!shape) return;
    const expected = this.#expected.get(table) ?? [];
    const at = expected.indexOf(id);
    const wanted = at < 0 ? [] : expected.slice(at, at + READ_TOGETHER);
    const ids = isRun(wanted) ? runFrom(id) : wanted;
    const { range, some } = this.#prepare(shape);
    const rows = ids === wanted ? some.all(`[${ids.join()}]`) : range.all(ids[0]!, ids.at(-1)!);
    const changes = new Map<bigint, CapturedChange | undefined>(ids.map((each) => [each, undefined]));
    for (const row of rows as unknown as Row[]) changes.set(row[0] as bigint, this.#toChange(shape, row));
    this.#ahead.set(table, changes);
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
        range: this.#database.prepare(selectSmall(shape, "id BETWEEN ? AND ?")),
        some: this.#database.prepare(selectSmall(shape, "id IN (SELECT value FROM json_each(?))")),
        exact: new ExactRow(this.#database, travellingValues(shape), from),
      };
      this.#statements.set(shape.id, statements);
    }
    return statements;
  }

  /** One change by itself, unless it is too large. */
  #single(table: string, id: bigint): CapturedChange | undefined {
    const shape = this.#currentShape(table);
    if (!shape || this.bytesOf(table, id) > MAX_CHANGE_BYTES) return undefined;
    const row = this.#database.get(selectLarge(shape), id);
    return row && this.#toChange(shape, row);
  }

  #toChange(current: TableShape, row: Row): CapturedChange | undefined {
    const [id, type, ts, shapeId, node, isCut] = row;
    const shape = this.#schema.shapes.get(Number(shapeId));
    if (typeof id !== "bigint" || typeof ts !== "bigint" || !shape) return undefined;
    const isPlain = shape === current && isCut === 0n && !mayBeDamaged(row);
    const values = isPlain ? row.slice(FIXED) : this.#prepare(shape).exact.get(id);
    return { id, type: type as ChangeType, ts, node: node as bigint ?? undefined, shape, values };
  }
}

/** Whether these are ids that follow each other, or none. */
function isRun(ids: readonly bigint[]): boolean {
  return ids.length === 0 || ids.at(-1)! - ids[0]! === BigInt(ids.length - 1);
}

/** Those that follow, up to the largest: a stranger may name any id. */
function runFrom(id: bigint): bigint[] {
  return Array.from({ length: READ_TOGETHER }, (_, at) => id + BigInt(at)).filter((each) => each <= MAX_ID);
}

function columnsOf(shape: TableShape): string[] {
  return shape.columns.map((column) => quote(valueColumn(column)));
}

/** Those of some changes that are not large. */
function selectSmall(shape: TableShape, condition: string): string {
  const columns = columnsOf(shape);
  return `${selectValues(shape, columns)} WHERE ${condition} AND ${
    bytesOfAll(columns)
  } <= ${LARGE_CHANGE_BYTES}`;
}

/** A large change by its id. */
function selectLarge(shape: TableShape): string {
  return `${selectValues(shape, travellingValues(shape))} WHERE id = ?`;
}

/** What of a delete does not travel is not read: the row may have been beyond all limits. */
function travellingValues(shape: TableShape): string[] {
  return shape.columns.map((column) => {
    const value = quote(valueColumn(column));
    return shape.key.includes(column) ? value : `CASE WHEN type <> 'delete' THEN ${value} END`;
  });
}

function selectValues(shape: TableShape, values: readonly string[]): string {
  return `SELECT id, type, ts, shape, node, ${hasNul(values)}, ${values.join(", ")} FROM ${
    quote(changeLog(shape.table))
  }`;
}

function selectBytes(shape: TableShape): string {
  const key = shape.key.map((column) => quote(valueColumn(column)));
  return `SELECT CASE WHEN type = 'delete' THEN ${bytesOfAll(key)} ELSE ${bytesOfAll(columnsOf(shape))} END
    FROM ${quote(changeLog(shape.table))} WHERE id = ?`;
}

/** SQLite knows the length of a value without reading what lies on other pages. */
function bytesOfAll(columns: readonly string[]): string {
  return `(${columns.map((column) => `coalesce(octet_length(${column}), 0)`).join(" + ")})`;
}
