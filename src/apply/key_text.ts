import { foldCase } from "../lib/ascii.ts";
import { RawText, type SqlValue } from "../wire/event.ts";
import type { KeyColumn } from "../sqlite/catalog.ts";

/**
 * A text that is equal for two keys exactly when SQLite takes them for the same key under the collations of the table.
 * `values` are those of the key columns, in the order of `key`.
 */
export function keyText(key: readonly KeyColumn[], values: readonly SqlValue[]): string {
  if (key.length === 1) return valueText(values[0] ?? null, key[0]!.collation);
  return JSON.stringify(key.map((column, at) => valueText(values[at] ?? null, column.collation)));
}

function valueText(value: SqlValue, collation: string): string {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "string") return `t${collate(value, collation)}`;
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value).toString() : `r${value}`;
  if (value === null) return "n";
  return value instanceof RawText ? `w${toHex(value.bytes)}` : `x${toHex(value)}`;
}

/** The built-in collations fold ASCII letters, or ignore spaces at the end. */
function collate(text: string, collation: string): string {
  switch (collation.toUpperCase()) {
    case "NOCASE":
      return foldCase(text);
    case "RTRIM":
      return text.replace(/ +$/, "");
    default:
      return text;
  }
}

function toHex(bytes: Uint8Array): string {
  return bytes.toHex();
}
