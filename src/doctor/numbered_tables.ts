import { readCaptureState } from "../capture/capture_state.ts";
import type { FollowedTable, TableFilter } from "../schema/followed_tables.ts";
import { valueColumn } from "../schema/names.ts";
import { hasTable } from "../schema/own_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { tokenize } from "../sqlite/tokens.ts";

/** Of how many rows, those with the highest ids, the writers are looked at. */
const MAX_LOOKED_AT = 1_000;
/** Ids that were drawn at random, or made of time and node, leave larger gaps. */
const MAX_GAP = 1_000n;

/** A table whose rows SQLite numbers when the application names no id: `INTEGER PRIMARY KEY`. */
export interface NumberedTable {
  readonly name: string;
  readonly column: string;
  readonly autoincrement: boolean;
  /** 0 without a row. */
  readonly highest: bigint;
  /** Where AUTOINCREMENT goes on; undefined before its first row, and without it. */
  readonly sequence: bigint | undefined;
  /** The nodes that wrote the rows with the highest ids last. */
  readonly writers: readonly bigint[];
  /** Whether those ids follow each other as numbers that were counted up do. */
  readonly isCounted: boolean;
}

/** In one transaction of a connection that may not write. */
export function readNumberedTables(database: Database, filter: TableFilter): NumberedTable[] {
  return readCaptureState(database, filter).tables.filter(isNumbered).map((table) =>
    readTable(database, table)
  );
}

/** `INT PRIMARY KEY` and WITHOUT ROWID are not numbered by SQLite. */
function isNumbered({ key, columns, rowid, keyIsRowid, keyMayBeNull }: FollowedTable): boolean {
  const [only] = key;
  const type = columns.find(({ name }) => name === only?.name)?.type ?? "";
  return !keyIsRowid && !keyMayBeNull && key.length === 1 && rowid !== undefined &&
    type.toUpperCase() === "INTEGER";
}

function readTable(database: Database, { name, key, versionTable }: FollowedTable): NumberedTable {
  const column = key[0]!.name;
  const sql = String(database.value("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", name));
  const autoincrement = tokenize(sql).some(({ text }) => text.toUpperCase() === "AUTOINCREMENT");
  const sequence = autoincrement
    ? database.value("SELECT seq FROM sqlite_sequence WHERE name = ?", name)
    : undefined;
  const highest = database.value(`SELECT max(${quote(column)}) FROM ${quote(name)}`);
  return {
    name,
    column,
    autoincrement,
    highest: typeof highest === "bigint" ? highest : 0n,
    sequence: typeof sequence === "bigint" ? sequence : undefined,
    ...hasTable(database, versionTable)
      ? readWriters(database, versionTable, column)
      : { writers: [], isCounted: true },
  };
}

function readWriters(
  database: Database,
  versions: string,
  column: string,
): Pick<NumberedTable, "writers" | "isCounted"> {
  const id = quote(valueColumn(column));
  const rows = database.all(
    `SELECT ${id}, node FROM ${quote(versions)} WHERE node > 0 ORDER BY ${id} DESC LIMIT ?`,
    BigInt(MAX_LOOKED_AT),
  ) as [bigint, bigint][];
  const [first, last] = [rows[0]?.[0] ?? 0n, rows.at(-1)?.[0] ?? 0n];
  return {
    writers: [...new Set(rows.map(([, node]) => node))].sort((a, b) => a < b ? -1 : 1),
    isCounted: first - last <= BigInt(rows.length) * MAX_GAP,
  };
}
