import { RawText, type SqlValue } from "../wire/event.ts";
import type { Parameter } from "./database.ts";

/** Two result columns from which {@link exactValue} makes the value of an SQL expression: itself, and the bytes of a text. */
export function exactColumns(expression: string): string {
  return `${expression}, CASE WHEN typeof(${expression}) = 'text' THEN CAST(${expression} AS BLOB) END`;
}

/** The value as it is stored: the driver cuts a text at its first NUL, and a string cannot hold what is not UTF-8. */
export function exactValue(value: Parameter, textBytes: Parameter): SqlValue {
  if (!(textBytes instanceof Uint8Array)) return value;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(textBytes);
  } catch {
    // Not UTF-8: that is what RawText is for.
    return new RawText(textBytes);
  }
}

/** The values of a row of as many {@link exactColumns}. */
export function exactValues(row: readonly Parameter[]): SqlValue[] {
  return Array.from({ length: row.length / 2 }, (_, at) => exactValue(row[2 * at]!, row[2 * at + 1]!));
}
