import type { Database } from "../sqlite/database.ts";
import { literal, quote } from "../sqlite/identifier.ts";
import { CONFLICT_LOG } from "../schema/names.ts";
import { RawText, type SqlValue } from "../wire/event.ts";
import type { Version } from "./version.ts";

/** Why an image of a row lost: a newer version was there already, or another row took its UNIQUE value. */
export type ConflictReason = "older" | "displaced";

/** How many images are kept: the oldest go first. */
export const MAX_CONFLICTS_KEPT = 10_000n;

export interface Conflict {
  readonly table: string;
  readonly reason: ConflictReason;
  /** JSON object: column name to SQL literal. */
  readonly image: string;
  /** Of the image; undefined when no stream ever spoke of that row. */
  readonly loser: Version | undefined;
  readonly winner: Version;
}

/** Keeps the image of a row that was overridden; inside the transaction that overrides it. */
export function recordConflict(database: Database, conflict: Conflict): void {
  database.run(
    `INSERT INTO ${
      quote(CONFLICT_LOG)
    } (table_name, reason, row, ts, node, winner_ts, winner_node, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))`,
    conflict.table,
    conflict.reason,
    conflict.image,
    conflict.loser?.ts ?? null,
    conflict.loser?.node ?? null,
    conflict.winner.ts,
    conflict.winner.node,
  );
}

/** Drops the oldest images beyond the limit; inside a write transaction. */
export function trimConflictLog(database: Database): void {
  const table = quote(CONFLICT_LOG);
  database.run(`DELETE FROM ${table} WHERE id <= (SELECT max(id) FROM ${table}) - ?`, MAX_CONFLICTS_KEPT);
}

/** The image of a row that never got into its table. */
export function imageOf(columns: readonly string[], values: readonly SqlValue[]): string {
  return JSON.stringify(
    Object.fromEntries(columns.map((column, at) => [column, sqlLiteral(values[at] ?? null)])),
  );
}

/** A value as SQL text. */
export function sqlLiteral(value: SqlValue): string {
  if (value === null) return "NULL";
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "string") return literal(value);
  if (typeof value === "number") return realLiteral(value);
  return value instanceof RawText ? `CAST(x'${value.bytes.toHex()}' AS TEXT)` : `x'${value.toHex()}'`;
}

function realLiteral(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? "9e999" : "-9e999";
  return Number.isInteger(value) ? `${value}.0`.replace(/(e.*)\.0$/, "$1") : String(value);
}
