/**
 * Text whose bytes are not valid UTF-8. SQLite stores such text as it came, so it travels and is
 * written back byte for byte; a JavaScript string would replace what it cannot represent.
 */
export class RawText {
  constructor(readonly bytes: Uint8Array) {}
}

/**
 * One SQLite value. The five storage classes keep their identity:
 * NULL `null`, INTEGER `bigint`, REAL `number` (1.0 is not 1n), TEXT `string` or {@link RawText}, BLOB `Uint8Array`.
 */
export type SqlValue = null | bigint | number | string | RawText | Uint8Array;

export const LOWEST_INTEGER = -(2n ** 63n);

/**
 * Whether a value is −2^63 as INTEGER or REAL. A column of a type with INT in its name keeps this one number in both forms, which
 * are equal as keys; of any other whole REAL in its range it makes an INTEGER (`sqlite3VdbeIntegerAffinity` in SQLite's vdbemem.c).
 */
export function isLowestInteger(value: SqlValue | undefined): boolean {
  return value === LOWEST_INTEGER || value === Number(LOWEST_INTEGER);
}

export type ChangeType = "insert" | "update" | "delete";

/** One change of one row, as it travels. */
export interface ChangeEvent {
  /** Node that made the change, 1 … 2^63 − 1. */
  readonly node: bigint;
  /** Row id of the change in its table's change log on that node: a hint only, ids start again with a new database. */
  readonly id: bigint;
  readonly type: ChangeType;
  readonly table: string;
  /**
   * Names of the columns that the change carries, ascending by code unit. A delete carries at least the key columns;
   * `rowid` stands for the key of a table without one.
   * Events with the same columns share one array (as long as the decoder remembers it), so that whoever needs a plan
   * for a set of columns can keep it by the identity of this array.
   */
  readonly columns: readonly string[];
  /** The value of each column, in the order of {@link columns}. */
  readonly values: readonly SqlValue[];
  /** Hash of the sender's schema; absent in some events of the Go original. */
  readonly schemaHash: string | undefined;
  /** Hybrid clock of the change, Unix nanoseconds; absent in events of the Go original, which then take the time of their message. */
  readonly ts: bigint | undefined;
  /**
   * Content hash, 0 … 2^52 − 1, over table, kind (delete or not) and the encoded row: the third part of a version.
   * Sender and receiver compute it alike, and an event that is decoded and encoded again keeps it.
   */
  readonly hash: number;
}
