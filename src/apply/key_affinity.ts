import type { FollowedTable } from "../schema/followed_tables.ts";
import type { SqlValue } from "../wire/event.ts";

/** Whether a key column stores a value as it is. */
export type KeyCheck = (value: SqlValue) => boolean;

/**
 * By column of the key. A column converts what its affinity wants otherwise: '7' becomes 7 in an INTEGER column. No table
 * holds such a key, so none can have been captured; applied, it would hit a row whose versions lie under another key.
 * https://sqlite.org/datatype3.html#determination_of_column_affinity
 */
export function keyChecks(table: FollowedTable): KeyCheck[] {
  return table.key.map(({ name }) => {
    const { type } = table.columns.find((column) => column.name === name)!;
    return checkFor(type);
  });
}

function checkFor(type: string): KeyCheck {
  if (/int/i.test(type)) return staysInNumeric;
  if (/char|clob|text/i.test(type)) return staysInText;
  // ANY converts nothing in a STRICT table.
  if (/^$|^any$|blob/i.test(type)) return () => true;
  return /real|floa|doub/i.test(type) ? staysInReal : staysInNumeric;
}

function staysInText(value: SqlValue): boolean {
  return typeof value !== "bigint" && typeof value !== "number";
}

function staysInReal(value: SqlValue): boolean {
  return typeof value !== "bigint" && !looksNumeric(value);
}

function staysInNumeric(value: SqlValue): boolean {
  if (typeof value !== "number") return !looksNumeric(value);
  return !Number.isInteger(value) || value <= -(2 ** 63) || value >= 2 ** 63;
}

function looksNumeric(value: SqlValue): boolean {
  return typeof value === "string" && /^[ \t-\r]*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?[ \t-\r]*$/i.test(value);
}
