import { readClock } from "../capture/trigger_sql.ts";
import { DatabaseError, messageOf } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { type FollowedTable, presentTable, type Schema, shapesOf } from "../schema/followed_tables.ts";
import { presentName } from "../schema/shape_history.ts";
import type { Database, Parameter, Row } from "../sqlite/database.ts";
import { ExactValues } from "../sqlite/exact_row.ts";
import { quote } from "../sqlite/identifier.ts";
import { toSql } from "../sqlite/sql_value.ts";
import { type ChangeEvent, RawText, type SqlValue } from "../wire/event.ts";
import { ConflictLog, describeRow, type Image, type LoggedConflict } from "./conflict_log.ts";
import type { Clash } from "./clashes.ts";
import { type BoundEvent, Planner } from "./plan.ts";
import { deleteByKey, hasKey, keyParameters, selectVersion, wholeRow } from "./row_sql.ts";

/** What putting an image back did. */
export interface Restored {
  readonly table: string;
  /** Its key: `id = 7, name = 'a'`. */
  readonly row: string;
  /** `unchanged`: the row is already as the image says. */
  readonly outcome: "inserted" | "updated" | "unchanged";
  /** Columns of the image that the table has no more. */
  readonly gone: readonly string[];
  /** Columns of the table that the image does not hold: they keep their value, or get their default. */
  readonly untouched: readonly string[];
  /** Keys of the rows that were deleted for it; their images are conflicts now. */
  readonly displaced: readonly string[];
}

/** One image on its way back, inside a write transaction. */
export class Restoration {
  readonly #database: Database;
  readonly #schema: Schema;
  readonly #exact: ExactValues;
  readonly #conflict: LoggedConflict;
  readonly #options: { readonly node: bigint; readonly replace: boolean };
  readonly #table: FollowedTable;
  /** By the columns that the table has now. */
  readonly #image: Image;
  readonly #gone: string[];

  constructor(
    database: Database,
    schema: Schema,
    conflict: LoggedConflict,
    options: { readonly node: bigint; readonly replace: boolean },
  ) {
    this.#database = database;
    this.#schema = schema;
    this.#exact = new ExactValues(database);
    this.#conflict = conflict;
    this.#options = options;
    const followed = this.#findTable();
    const { image } = conflict;
    // Only rows with NULL in their key travel with a rowid beside it.
    const { nullRows } = followed;
    this.#table = nullRows && image.has(nullRows.rowid!) ? nullRows : followed;
    const there = new Set(this.#table.columns.map(({ name }) => name));
    const shapes = shapesOf(schema, followed.name);
    const nameNow = (column: string): string => there.has(column) ? column : presentName(shapes, column);
    this.#gone = [...image.keys()].filter((column) => !there.has(nameNow(column)));
    const named = [...image].map(([column, value]) => [nameNow(column), value] as const);
    this.#image = new Map(named.filter(([column]) => there.has(column)));
  }

  #findTable(): FollowedTable {
    const name = presentTable(this.#schema, this.#conflict.table);
    const followed = this.#schema.tables.get(name);
    if (followed) return followed;
    const table = `table "${printable(name)}"`;
    const reason = this.#schema.leftOut.get(name);
    if (reason !== undefined) throw notRestored(this.#conflict, `${table} cannot be followed: ${reason}`);
    throw this.#schema.passedOver.has(name)
      ? notRestored(this.#conflict, `this node does not follow ${table}`, "Put it back on one that does.")
      : notRestored(this.#conflict, `there is no ${table} any more`, "Create it again, then try again.");
  }

  /** Throws a DatabaseError that says what is in the way. */
  run(): Restored {
    const key = this.#key();
    const present = this.#presentRow(key);
    const { name, columns } = this.#table;
    const untouched = columns.map((column) => column.name).filter((column) => !this.#image.has(column));
    const said = { table: name, row: describeKey(this.#table, this.#image), gone: this.#gone, untouched };
    if (
      present && [...this.#image].every(([column, value]) => toSql(present.get(column)!) === toSql(value))
    ) {
      return { ...said, outcome: "unchanged", displaced: [] };
    }
    try {
      const displaced = this.#write(present !== undefined);
      return { ...said, outcome: present ? "updated" : "inserted", displaced };
    } catch (error) {
      if (error instanceof DatabaseError) throw error;
      throw notRestored(this.#conflict, messageOf(error), undefined, error);
    }
  }

  #key(): SqlValue[] {
    return this.#table.key.map(({ name }) => {
      const value = this.#image.get(name);
      if (value !== undefined) return value;
      throw notRestored(this.#conflict, `it has no value for "${printable(name)}", which is of the key now`);
    });
  }

  #write(isThere: boolean): string[] {
    const { values, statements } = this.#plan();
    const displaced = this.#makeRoom(statements.clashes.of(values));
    statements.vacate?.run(values);
    if (isThere) statements.update?.run(values);
    else if (statements.insert.run(values) === 0) throw new Error("a trigger refused the row");
    return displaced;
  }

  /** The statements that an event with this image would take. */
  #plan(): BoundEvent {
    const [columns, values] = [[...this.#image.keys()], [...this.#image.values()]];
    const planner = new Planner({ database: this.#database, schema: this.#schema, onLeftOut: () => {} });
    return planner.find(imageEvent(this.#table.name, columns, values))!.bind({ values });
  }

  /** The row that has the image's key now. */
  #presentRow(key: readonly SqlValue[]): Image | undefined {
    const table = this.#table;
    const row = this.#database.get(
      `SELECT ${wholeRow(table)} FROM ${quote(table.name)} AS row WHERE ${hasKey(table, keyParameters(key))}`,
      ...key.map(bindable),
    );
    return row && this.#imageOf(table, row);
  }

  /** Removes the rows of other keys that hold a UNIQUE value of the image, if that is asked for; else they are in the way. */
  #makeRoom(clashes: Iterable<Clash>): string[] {
    const names: string[] = [];
    for (const { table, row } of clashes) {
      const image = this.#imageOf(table, row);
      const name = describeKey(table, image);
      if (!this.#options.replace) {
        throw notRestored(
          this.#conflict,
          `the row ${name} holds one of its UNIQUE values now`,
          "Change or delete that row first, or let --replace delete it.",
        );
      }
      this.#remove(table, image);
      names.push(name);
    }
    return names;
  }

  #remove(table: FollowedTable, image: Image): void {
    const key = table.key.map(({ name }) => image.get(name)!);
    const [parameters, values] = [keyParameters(key), key.map(bindable)];
    const version = this.#database.get(selectVersion(table, parameters), ...values);
    this.#database.run(deleteByKey(table, parameters), ...values);
    new ConflictLog(this.#database).record({
      table: table.name,
      reason: "displaced",
      image,
      loser: version && { ts: version[0] as bigint, node: version[1] as bigint },
      // That of the delete.
      winner: {
        ts: readClock(this.#database),
        node: this.#options.node,
      },
    });
  }

  #imageOf(table: FollowedTable, row: Row): Image {
    return new Map(this.#exact.of(row).map((value, at) => [table.columns[at]!.name, value]));
  }
}

function describeKey(table: FollowedTable, image: Image): string {
  return describeRow(table.key.map(({ name }) => [name, image.get(name)!]));
}

function imageEvent(table: string, columns: string[], values: SqlValue[]): ChangeEvent {
  return { node: 0n, id: 0n, type: "insert", table, columns, values, schemaHash: undefined, ts: 0n, hash: 0 };
}

function bindable(value: SqlValue): Parameter {
  return value instanceof RawText ? value.bytes : value;
}

export function notRestored(
  { id }: LoggedConflict,
  why: string,
  hint?: string,
  cause?: unknown,
): DatabaseError {
  return new DatabaseError("NOT_RESTORED", `Cannot put back conflict ${id}: ${why}`, {
    cause,
    ...hint === undefined ? {} : { hint },
  });
}
