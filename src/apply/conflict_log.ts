import { DatabaseError, messageOf } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import type { Database, Statement } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { fromSql, toSql } from "../sqlite/sql_value.ts";
import { CONFLICT_LOG } from "../schema/names.ts";
import { hasTable } from "../schema/own_tables.ts";
import type { ShapeHistory } from "../schema/shape_history.ts";
import { RawText, type SqlValue } from "../wire/event.ts";
import type { Version } from "./version.ts";

/** Why an image of a row lost: against a newer change of the row, or as another row took its UNIQUE value. */
export type ConflictReason = "older" | "displaced";

/** How many images are kept, at least: the oldest go first, this many at a time. */
const MAX_CONFLICTS_KEPT = 10_000n;
const REMOVED_AT_A_TIME = 500n;

/** Of the values of an image: what is more is left out, the largest columns first. As SQL text it takes up to twice that. */
const MAX_IMAGE_BYTES = 8 << 20;

/** Of a value that is shown to a person, in characters. */
const MAX_LITERAL_SHOWN = 60;

/** A row as it was: column to value. */
export type Image = ReadonlyMap<string, SqlValue>;

export interface Conflict {
  readonly table: string;
  readonly reason: ConflictReason;
  readonly image: Image;
  /** Of the image; undefined when no stream ever spoke of that row. */
  readonly loser: Pick<Version, "ts" | "node"> | undefined;
  readonly winner: Pick<Version, "ts" | "node">;
}

/** A conflict as it is kept. */
export interface LoggedConflict extends Conflict {
  readonly id: bigint;
  /** When this node met it, by its wall clock, Unix milliseconds. */
  readonly createdAt: number;
}

/** Keeps images of rows that were overridden, each inside the transaction that overrides it. */
export class ConflictLog {
  readonly #insert: Statement;
  readonly #remove: Statement;
  readonly #trim: Statement;
  /** Of this transaction: by winner and the losing writer, what was kept of that writer. */
  readonly #kept = new Map<string, number | bigint>();

  constructor(database: Database) {
    const table = quote(CONFLICT_LOG);
    this.#insert = database.prepare(
      `INSERT INTO ${table} (table_name, reason, row, ts, node, winner_ts, winner_node, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))`,
    );
    this.#remove = database.prepare(`DELETE FROM ${table} WHERE id = ?`);
    this.#trim = database.prepare(`DELETE FROM ${table} WHERE id <= ?`);
  }

  /** To be called at the beginning of each transaction, and after a part of it was undone. */
  begin(): void {
    this.#kept.clear();
  }

  record(conflict: Conflict): void {
    const { table, reason, image, loser, winner } = conflict;
    if (reason === "older") this.#forgetEarlier(conflict);
    const id = this.#insert.run(
      table,
      reason,
      toJson(bounded(image)),
      loser?.ts ?? null,
      loser?.node ?? null,
      winner.ts,
      winner.node,
    ).lastInsertRowid as bigint;
    if (this.#kept.size >= MAX_CONFLICTS_KEPT) this.#kept.clear();
    if (reason === "older") this.#kept.set(writersOf(conflict), id);
    if (id % REMOVED_AT_A_TIME === 0n) this.#trim.run(id - MAX_CONFLICTS_KEPT);
  }

  /** What a writer itself wrote over was not overridden by the winner: of many changes of one row the last one counts. */
  #forgetEarlier(conflict: Conflict): void {
    const id = this.#kept.get(writersOf(conflict));
    if (id !== undefined) this.#remove.run(id);
  }
}

/** A node uses a clock value once, so the winner's version tells the row as well. */
function writersOf({ table, loser, winner }: Conflict): string {
  return `${winner.ts} ${winner.node} ${loser?.node} ${table}`;
}

/** Columns and values on one line, as a person reads them: `id = 7, name = 'a'`. */
export function describeRow(cells: Iterable<readonly [column: string, value: SqlValue]>): string {
  return [...cells].map(([column, value]) => `${printable(column)} = ${shorten(printable(toSql(value)))}`)
    .join(", ");
}

function shorten(text: string): string {
  return text.length <= MAX_LITERAL_SHOWN ? text : `${text.slice(0, MAX_LITERAL_SHOWN)}…`;
}

const COLUMNS = "id, table_name, reason, row, ts, node, winner_ts, winner_node, created_at";

/**
 * What is kept, the newest first; of one table if it is named. None where nothing was ever replicated.
 * Throws a DatabaseError with code IMAGE_UNREADABLE when somebody has changed an image.
 */
export function listConflicts(
  database: Database,
  { table, limit }: { table: string | undefined; limit: number },
): LoggedConflict[] {
  if (!hasTable(database, CONFLICT_LOG)) return [];
  return database
    .all(
      `SELECT ${COLUMNS} FROM ${quote(CONFLICT_LOG)} WHERE ?1 IS NULL OR table_name = ?1 COLLATE NOCASE
       ORDER BY id DESC LIMIT ?2`,
      table ?? null,
      BigInt(limit),
    )
    .map(toConflict);
}

export function findConflict(database: Database, id: bigint): LoggedConflict | undefined {
  if (!hasTable(database, CONFLICT_LOG)) return undefined;
  const row = database.get(`SELECT ${COLUMNS} FROM ${quote(CONFLICT_LOG)} WHERE id = ?`, id);
  return row && toConflict(row);
}

function toConflict(row: readonly unknown[]): LoggedConflict {
  const [id, table, reason, image, ts, node, winnerTs, winnerNode, createdAt] = row;
  return {
    id: id as bigint,
    table: String(table),
    reason: reason as ConflictReason,
    image: fromJson(id as bigint, String(image)),
    loser: ts === null ? undefined : { ts: ts as bigint, node: node as bigint },
    winner: { ts: winnerTs as bigint, node: winnerNode as bigint },
    createdAt: Number(createdAt),
  };
}

function bounded(image: Image): Image {
  const cells = [...image].map(([column, value]) => ({ column, value, size: sizeOf(value) }));
  let total = cells.reduce((sum, { size }) => sum + size, 0);
  if (total <= MAX_IMAGE_BYTES) return image;
  const kept = new Map(image);
  for (const { column, size } of cells.sort((a, b) => b.size - a.size)) {
    if (total <= MAX_IMAGE_BYTES) break;
    kept.delete(column);
    total -= size;
  }
  return kept;
}

function sizeOf(value: SqlValue): number {
  if (value instanceof RawText) return value.bytes.length;
  return typeof value === "string" || value instanceof Uint8Array ? value.length : 0;
}

/** Column name to SQL literal. */
function toJson(image: Image): string {
  return JSON.stringify(Object.fromEntries([...image].map(([column, value]) => [column, toSql(value)])));
}

function fromJson(id: bigint, json: string): Image {
  try {
    const cells = Object.entries(JSON.parse(json));
    return new Map(cells.map(([column, literal]) => [column, fromSql(String(literal))]));
  } catch (cause) {
    throw new DatabaseError("IMAGE_UNREADABLE", `Cannot read conflict ${id}: ${messageOf(cause)}`, { cause });
  }
}

/** The part of an image that is the row's key: as the table was when the image was made, as far as that is known. */
export function keyOf({ table, image }: Conflict, history: ShapeHistory): Image {
  const shapes = history.of(table).filter(({ key }) => key.every((column) => image.has(column)));
  const shape = shapes.findLast(({ columns }) => columns.length === image.size) ?? shapes.at(-1);
  return new Map((shape?.key ?? []).map((column) => [column, image.get(column)!]));
}
