import { RawText, type SqlValue } from "../wire/event.ts";
import type { Database, Parameter, Row, Statement } from "./database.ts";

/**
 * node:sqlite hands out text up to its first NUL, and puts a replacement character where bytes are not UTF-8. Rows that may
 * hold such text are read as bytes.
 */

/**
 * What the driver may have made of text that is not valid: a replacement character, or, of half of a surrogate pair in a
 * UTF-16 database and what follows it, a character beyond the first 65,536.
 */
const SUSPICIOUS = /[\uFFFD\uD800-\uDFFF]/;
const TEXT = "t";

/** An expression that is 1 when some text among the columns has a NUL in it, else 0. */
export function hasNul(columns: readonly string[]): string {
  return columns.map((column) => `(typeof(${column}) = 'text' AND instr(${column}, char(0)) > 0)`).join(
    " OR ",
  );
}

/** Whether some value may not be what is stored; it may also be the true content. */
export function mayBeDamaged(values: readonly Parameter[]): boolean {
  return values.some((value) => typeof value === "string" && SUSPICIOUS.test(value));
}

/**
 * What to select for {@link ExactValues}: the type of each column by its first letter, then each value, text as bytes.
 *
 * @param columns SQL expressions
 */
export function exactColumns(columns: readonly string[]): string {
  const types = columns.map((column) => `substr(typeof(${column}), 1, 1)`).join(" || ");
  const values = columns.map((column) =>
    `CASE typeof(${column}) WHEN 'text' THEN CAST(${column} AS BLOB) ELSE ${column} END`
  );
  return `${types}, ${values.join(", ")}`;
}

/** Makes values of what {@link exactColumns} selected. */
export class ExactValues {
  readonly #decoder: TextDecoder;

  constructor(database: Database) {
    // That of the bytes, and always one that TextDecoder knows by this name.
    const encoding = String(database.value("PRAGMA encoding"));
    this.#decoder = new TextDecoder(encoding, { fatal: true, ignoreBOM: true });
  }

  of([types, ...values]: readonly Parameter[]): SqlValue[] {
    return values.map((value, at) => String(types)[at] === TEXT ? this.#toText(value as Uint8Array) : value);
  }

  #toText(bytes: Uint8Array): string | RawText {
    try {
      return this.#decoder.decode(bytes);
    } catch {
      // Not valid in its encoding: that is what RawText is for.
      return new RawText(bytes);
    }
  }
}

/** Reads columns of one row with every value as it is stored. */
export class ExactRow {
  readonly #statement: Statement;
  readonly #values: ExactValues;

  /** `columns` are SQL expressions, `from` is what follows them, with a parameter for the row. */
  constructor(database: Database, columns: readonly string[], from: string) {
    this.#statement = database.prepare(`SELECT ${exactColumns(columns)} FROM ${from}`);
    this.#values = new ExactValues(database);
  }

  get(parameter: Parameter): SqlValue[] {
    return this.#values.of(this.#statement.get(parameter) as unknown as Row);
  }
}
