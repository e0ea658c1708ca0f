import { HarmonyLiteError } from "../lib/errors.ts";
import type { TableFilter } from "../schema/followed_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { literal, quote } from "../sqlite/identifier.ts";
import { type NumberedTable, readNumberedTables } from "./numbered_tables.ts";

/** First and last id, both included. */
export interface IdRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** How many ids a node gets when nobody says otherwise: so that 9,000 nodes stay below 2^53, up to which JavaScript counts. */
const RANGE_SIZE = 1_000_000_000_000n;
const MAX_SAFE = 1n << 53n;

/** A numbered table with what is in a range of it. */
export interface RangedTable extends NumberedTable {
  /** The highest id of the range that is taken; undefined when none is. */
  readonly highestInRange: bigint | undefined;
  /** What an application writes to get the next id of the range, as SQL. */
  readonly nextId: string;
}

/** The range that belongs to a node id; undefined when that is too large, as one that was derived is. */
export function rangeOf(node: bigint): IdRange | undefined {
  const last = (node + 1n) * RANGE_SIZE;
  return last < MAX_SAFE ? { first: node * RANGE_SIZE + 1n, last } : undefined;
}

/** In one transaction of a connection that may not write. */
export function readRangedTables(database: Database, filter: TableFilter, range: IdRange): RangedTable[] {
  return readNumberedTables(database, filter).map((table) => ({
    ...table,
    ...inRange(database, table, range),
  }));
}

function inRange(
  database: Database,
  { name, column }: NumberedTable,
  { first, last }: IdRange,
): Pick<RangedTable, "highestInRange" | "nextId"> {
  const from = `FROM ${quote(name)} WHERE ${quote(column)} BETWEEN ${first} AND ${last}`;
  const highest = database.value(`SELECT max(${quote(column)}) ${from}`);
  return {
    highestInRange: typeof highest === "bigint" ? highest : undefined,
    nextId: `(SELECT coalesce(max(${quote(column)}), ${first - 1n}) + 1 ${from})`,
  };
}

/**
 * Lets AUTOINCREMENT go on in the range, inside a write transaction. SQLite goes on above the highest id in the table, whoever
 * wrote it, so it refuses where there is a higher one already. Throws a HarmonyLiteError; returns the next id.
 */
export function startRange(database: Database, table: RangedTable, range: IdRange): bigint {
  const { name, autoincrement, highest, highestInRange, nextId } = table;
  if (!autoincrement) {
    throw refused(name, "it has no AUTOINCREMENT, so SQLite keeps no number to set", nextId);
  }
  if (highest > range.last) {
    throw refused(name, `it holds a higher id (${highest}), and SQLite goes on above that`, nextId);
  }
  const before = highestInRange ?? range.first - 1n;
  if (database.run("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", before, name) === 0) {
    database.run(`INSERT INTO sqlite_sequence (name, seq) VALUES (${literal(name)}, ?)`, before);
  }
  return before + 1n;
}

function refused(table: string, why: string, nextId: string): HarmonyLiteError {
  return new HarmonyLiteError("RANGE_REFUSED", `Cannot set the next id of "${table}": ${why}`, {
    hint: `Let the application name the id: INSERT INTO ${quote(table)} (…) VALUES (${nextId}, …)`,
  });
}
