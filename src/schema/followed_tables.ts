import { createHash } from "node:crypto";
import { type Catalog, type KeyColumn, keyedByRowid, readCatalog, type Table } from "../sqlite/catalog.ts";
import type { Database } from "../sqlite/database.ts";
import { isOurs, nullRowVersion, rowVersion } from "./names.ts";
import { isOwnTable } from "./own_tables.ts";
import type { ShapeHistory, TableShape } from "./shape_history.ts";

const RESERVED = "its name begins as those of HarmonyLite's own tables do";

/** Which tables a node follows: globs over names (`*`, `?`); everything when `include` is empty. */
export interface TableFilter {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/**
 * A table whose changes are captured and applied. Where the key may hold NULL the rows that do are followed apart, as if
 * they were another table: SQLite never takes NULL for equal to NULL, so such rows are told apart by their rowid.
 */
export interface FollowedTable extends Table {
  /** Row of the schema history that describes it now. */
  readonly shapeId: number;
  /**
   * Whether all its rows share one shard. So it must be where the order of two rows counts (a UNIQUE index besides the key)
   * or where equal keys may differ in their bytes (a collation, no type), as bytes choose the shard.
   */
  readonly oneShard: boolean;
  /** Our table that holds the versions of its rows. */
  readonly versionTable: string;
  /** The rows with NULL in their key. Their rowid is a column of them, and travels. */
  readonly nullRows: FollowedTable | undefined;
  /** The declared key, if these are the rows that have NULL in it; else empty. */
  readonly nullKey: readonly KeyColumn[];
}

/** The kinds of rows of a table that are followed apart. */
export function rowKinds(table: FollowedTable): FollowedTable[] {
  return table.nullRows ? [table, table.nullRows] : [table];
}

/** The schema of a database as replication sees it, at one moment. */
export interface Schema {
  /** `PRAGMA schema_version` at that moment. */
  readonly version: number;
  /** SHA-256 over tables, columns and keys, hex: equal where rows are exchangeable. */
  readonly hash: string;
  readonly tables: ReadonlyMap<string, FollowedTable>;
  /** Tables that exist but are not followed, by the user's choice. */
  readonly passedOver: ReadonlySet<string>;
  /** Tables that would be followed but cannot be: name to the reason, in words for a person. */
  readonly leftOut: ReadonlyMap<string, string>;
  /** Every shape any followed table ever had here, by id. */
  readonly shapes: ReadonlyMap<number, TableShape>;
  /** Rises when what was read from the logs of captured changes must not be marked: one was made anew, or all is sent again. */
  readonly logs: number;
}

/** Every shape that a table ever had here, the oldest first. */
export function shapesOf(schema: Schema, table: string): TableShape[] {
  return [...schema.shapes.values()].filter((shape) => shape.table === table);
}

/** What a table is called now: one that was renamed here still comes under its old name from nodes that have yet to rename it. */
export function presentTable(schema: Schema, name: string): string {
  if (schema.tables.has(name) || schema.passedOver.has(name)) return name;
  return [...schema.shapes.values()].findLast(({ former }) => former.includes(name))?.table ?? name;
}

export function schemaVersion(database: Database): number {
  return database.count("PRAGMA schema_version");
}

/** Columns that were renamed since capture was installed: by table, old name to new. */
export type Renames = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** The tables of a database as a filter has them, without what they were before. */
export interface ChosenTables extends Pick<Schema, "version" | "hash" | "passedOver" | "leftOut"> {
  readonly tables: readonly Table[];
}

/** Reads which tables are followed, whether or not capture is installed. */
export function readChosenTables(database: Database, filter: TableFilter): ChosenTables {
  const version = schemaVersion(database);
  const { tables: all, leftOut } = readUsersTables(database);
  const tables = all.filter((table) => follows(filter, table.name));
  return {
    version,
    hash: hashTables(tables),
    tables,
    passedOver: new Set(all.filter((table) => !tables.includes(table)).map((table) => table.name)),
    leftOut: new Map([...leftOut].filter(([name]) => follows(filter, name))),
  };
}

/** Reads the schema and adds the shapes that are new to the history; inside a write transaction. */
export function readSchema(
  database: Database,
  filter: TableFilter,
  history: ShapeHistory,
  renames: Renames,
): Omit<Schema, "logs"> {
  const chosen = readChosenTables(database, filter);
  const tables = new Map<string, FollowedTable>();
  for (const table of chosen.tables) {
    tables.set(table.name, follow(table, history, renames.get(table.name)));
  }
  return { ...chosen, tables, shapes: history.shapes };
}

function follow(table: Table, history: ShapeHistory, renamed?: ReadonlyMap<string, string>): FollowedTable {
  const followed = {
    ...table,
    shapeId: history.current(table, renamed).id,
    oneShard: needsOneShard(table),
    versionTable: rowVersion(table.name),
    nullRows: undefined,
    nullKey: [],
  };
  const { rowid } = table;
  return table.keyMayBeNull && rowid
    ? { ...followed, nullRows: followNulls(followed, rowid, history) }
    : followed;
}

function followNulls(table: FollowedTable, rowid: string, history: ShapeHistory): FollowedTable {
  const nullRows = { ...table, ...keyedByRowid(table, rowid) };
  return {
    ...nullRows,
    shapeId: history.current(nullRows).id,
    versionTable: nullRowVersion(table.name),
    nullKey: table.key,
  };
}

function readUsersTables(database: Database): Catalog {
  const { tables, leftOut } = readCatalog(database, isOwnTable);
  const reserved = tables.map(({ name }) => name).filter(isOurs);
  return {
    tables: tables.filter(({ name }) => !isOurs(name)),
    leftOut: new Map([...leftOut, ...reserved.map((name) => [name, RESERVED] as const)]),
  };
}

/** Whether a table is chosen. */
export function follows(filter: TableFilter, table: string): boolean {
  const matches = (glob: string): boolean => globPattern(glob).test(table);
  return (filter.include.length === 0 || filter.include.some(matches)) && !filter.exclude.some(matches);
}

function globPattern(glob: string): RegExp {
  const escaped = glob.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${escaped}$`, "isu");
}

function needsOneShard(table: Table): boolean {
  return table.uniques.length > 0 || table.key.some((column) => !hasOneForm(table, column));
}

/**
 * Whether values of a key column that SQLite takes for equal are the same in type and bytes: under a collation 'A' and 'a'
 * are not, and without a type that makes them one 1 and 1.0 are not. The one number that an INT column leaves in two forms has to
 * be asked for, see `isLowestInteger`.
 */
export function hasOneForm(table: Table, { name, collation }: KeyColumn): boolean {
  const type = table.columns.find((column) => column.name === name)?.type ?? "";
  return collation.toUpperCase() === "BINARY" && /int|char|clob|text|real|floa|doub/i.test(type);
}

function columnNames(table: Table): string[] {
  return table.columns.map((column) => column.name);
}

function keyNames(table: Table): string[] {
  return table.key.map((column) => column.name);
}

function hashTables(tables: Table[]): string {
  const canonical = tables.map((table) => [table.name, columnNames(table), keyNames(table)]);
  return createHash("sha256").update(JSON.stringify(canonical)).digest("hex");
}
