import type { FollowedTable } from "../schema/followed_tables.ts";
import type { Database, Parameter, Row } from "../sqlite/database.ts";
import { EventStatement } from "./event_statement.ts";
import {
  clearArriving,
  insertArriving,
  isCarried,
  mergeArriving,
  type RowSqlOptions,
  selectClashing,
  selectClashingWithArriving,
} from "./row_sql.ts";

/** A row of another key that holds a UNIQUE value of an event's row. */
export interface Clash {
  /** The kind of rows that it is of. */
  readonly table: FollowedTable;
  /** All its columns, as `ExactValues` takes them. */
  readonly row: Row;
}

/** Finds such rows of one kind on one index. */
interface Finder {
  readonly table: FollowedTable;
  readonly select: EventStatement;
}

/** Writes a row, as it will stand, to the table for it. */
interface ArrivingRow {
  readonly clear: EventStatement;
  readonly merge: EventStatement | undefined;
  readonly insert: EventStatement;
}

/**
 * Finds the rows of other keys that hold a UNIQUE value of an event's row.
 *
 * Where the index is over columns that the event carries, its values are all that it takes. An expression, a condition or
 * a generated column may rest on the types and collations of columns, and a column that the event lacks has its local
 * value: for these the row is written, as it will stand, to a table of the same columns, and SQLite itself says what it
 * has in the index.
 */
export class Clashes {
  readonly #carried: readonly Finder[];
  readonly #others: readonly Finder[];
  readonly #arriving: ArrivingRow | undefined;

  /** @param kinds all kinds of rows of the table, which share its indexes */
  constructor(database: Database, options: RowSqlOptions, kinds: readonly FollowedTable[]) {
    const finders = (isWanted: boolean, select: typeof selectClashing): Finder[] =>
      options.table.uniques
        .filter((index) => isCarried(index, options.columns) === isWanted)
        .flatMap((index) =>
          kinds.map((table) => ({
            table,
            select: new EventStatement(database, select(options, table, index)),
          }))
        );
    this.#carried = finders(true, selectClashing);
    this.#others = finders(false, selectClashingWithArriving);
    this.#arriving = this.#others.length > 0 ? prepareArriving(database, options) : undefined;
  }

  /** Each clash; a row that was removed when the next one is asked for comes once only. */
  *of(values: Parameter[]): Generator<Clash> {
    yield* find(this.#carried, values);
    if (!this.#arriving) return;
    const { clear, merge, insert } = this.#arriving;
    clear.run([]);
    if (!merge?.run(values)) insert.run(values);
    yield* find(this.#others, values);
  }
}

function* find(finders: readonly Finder[], values: Parameter[]): Generator<Clash> {
  for (const { table, select } of finders) {
    for (const row of select.all(values)) yield { table, row };
  }
}

function prepareArriving(database: Database, options: RowSqlOptions): ArrivingRow {
  const statement = (sql: string): EventStatement => new EventStatement(database, sql);
  const lacksSome = options.table.columns.some(({ name }) => !options.columns.includes(name));
  return {
    clear: statement(clearArriving(options)),
    merge: lacksSome ? statement(mergeArriving(options)) : undefined,
    insert: statement(insertArriving(options)),
  };
}
