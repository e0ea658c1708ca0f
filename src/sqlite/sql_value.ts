import { DatabaseError } from "../lib/errors.ts";
import { RawText, type SqlValue } from "../wire/event.ts";
import { literal } from "./identifier.ts";

const NUL = "' || char(0) || '";

/**
 * A value as SQL that SQLite takes back bit for bit: `NULL`, `-7`, `1.5`, `'it''s'`, `x'00ff'`. Text with NUL is
 * `'a' || char(0) || 'b'`, and text that is not valid in its encoding `CAST(x'…' AS TEXT)`, as SQL text can hold neither.
 */
export function toSql(value: SqlValue): string {
  if (value === null) return "NULL";
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return realLiteral(value);
  if (typeof value === "string") return literal(value).replaceAll("\0", NUL);
  return value instanceof RawText ? `CAST(x'${value.bytes.toHex()}' AS TEXT)` : `x'${value.toHex()}'`;
}

/**
 * The value of such SQL. Nothing else is understood, and nothing is evaluated.
 * Throws a DatabaseError with code NOT_A_LITERAL.
 */
export function fromSql(text: string): SqlValue {
  if (text === "NULL") return null;
  if (/^-?\d+$/.test(text) && isInt64(BigInt(text))) return BigInt(text);
  if (/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return Number(text);
  const value = textIn(text) ?? hexBetween(text, "x'", "'");
  if (value !== undefined) return value;
  const bytes = hexBetween(text, "CAST(x'", "' AS TEXT)");
  if (bytes) return new RawText(bytes);
  const start = JSON.stringify(text.slice(0, 80));
  throw new DatabaseError("NOT_A_LITERAL", `Cannot read the value ${start}: it is not an SQL literal`);
}

function realLiteral(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? "9e999" : "-9e999";
  if (Object.is(value, -0)) return "-0.0";
  const text = String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

function isInt64(value: bigint): boolean {
  return BigInt.asIntN(64, value) === value;
}

/** `'it''s'` or `'a' || char(0) || 'b'`. */
function textIn(sql: string): string | undefined {
  if (!sql.startsWith("'")) return undefined;
  const pieces: string[] = [];
  for (let start = 1;;) {
    let end = sql.indexOf("'", start);
    while (end !== -1 && sql[end + 1] === "'") end = sql.indexOf("'", end + 2);
    if (end === -1) return undefined;
    pieces.push(sql.slice(start, end).replaceAll("''", "'"));
    if (end === sql.length - 1) return pieces.join("\0");
    if (!sql.startsWith(NUL, end)) return undefined;
    start = end + NUL.length;
  }
}

function hexBetween(text: string, start: string, end: string): Uint8Array | undefined {
  if (!text.startsWith(start) || !text.endsWith(end)) return undefined;
  const digits = text.slice(start.length, -end.length);
  return digits.length % 2 !== 0 || /[^0-9a-f]/.test(digits) ? undefined : Uint8Array.fromHex(digits);
}
