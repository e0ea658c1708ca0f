import { createHash } from "node:crypto";
import { type KeyColumn, readTables, type Table } from "../sqlite/catalog.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { changeLog, GLOBAL_LOG, isOurs, SCHEMA_HISTORY } from "./names.ts";

/** Which tables a node follows: globs over names (`*`, `?`); everything when `include` is empty. */
export interface TableFilter {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** A shape that a table had: the columns a change holds that was captured then. */
export interface TableShape {
  readonly id: number;
  readonly table: string;
  /** In ascending code-unit order. */
  readonly columns: readonly string[];
  readonly key: readonly string[];
}

/** A table whose changes are captured and applied. */
export interface FollowedTable extends Table {
  /** Row of the schema history that describes it now. */
  readonly shapeId: number;
  /**
   * Whether all its rows share one shard. So it must be where the order of two rows counts (a UNIQUE index besides the key)
   * or where equal keys may differ in their bytes (a collation, no type), as bytes choose the shard.
   */
  readonly oneShard: boolean;
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
  /** Every shape any followed table ever had here, by id. */
  readonly shapes: ReadonlyMap<number, TableShape>;
}

/** Every shape that a table ever had here, the oldest first. */
export function shapesOf(schema: Schema, table: string): TableShape[] {
  return [...schema.shapes.values()].filter((shape) => shape.table === table);
}

export function schemaVersion(database: Database): number {
  return database.count("PRAGMA schema_version");
}

/** Reads the schema and adds the shapes that are new to the history; inside a write transaction. */
export function readSchema(database: Database, filter: TableFilter): Schema {
  const version = schemaVersion(database);
  const all = readTables(database).filter((table) => !isOurs(table.name));
  const chosen = all.filter((table) => follows(filter, table.name));
  const shapes = readShapes(database);
  const tables = new Map<string, FollowedTable>();
  for (const table of chosen) {
    const shape = findShape(shapes, table) ?? recordShape(database, shapes, table);
    tables.set(table.name, { ...table, shapeId: shape.id, oneShard: needsOneShard(table) });
  }
  const passedOver = new Set(all.filter((table) => !tables.has(table.name)).map((table) => table.name));
  return { version, hash: hashTables(chosen), tables, passedOver, shapes };
}

/** Whether a table is chosen, and its change log would not be called like the global one. */
export function follows(filter: TableFilter, table: string): boolean {
  if (changeLog(table).toLowerCase() === GLOBAL_LOG) return false;
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
 * are not, and without a type that makes them one 1 and 1.0 are not.
 */
export function hasOneForm(table: Table, { name, collation }: KeyColumn): boolean {
  const type = table.columns.find((column) => column.name === name)?.type ?? "";
  return collation.toUpperCase() === "BINARY" && /int|char|clob|text|real|floa|doub/i.test(type);
}

function readShapes(database: Database): Map<number, TableShape> {
  const rows = database.all(
    `SELECT id, table_name, columns, key FROM ${quote(SCHEMA_HISTORY)} ORDER BY id`,
  );
  return new Map(rows.map(([id, table, columns, key]) => [Number(id), {
    id: Number(id),
    table: String(table),
    columns: JSON.parse(String(columns)),
    key: JSON.parse(String(key)),
  }]));
}

function columnNames(table: Table): string[] {
  return table.columns.map((column) => column.name);
}

function keyNames(table: Table): string[] {
  return table.key.map((column) => column.name);
}

function findShape(shapes: Map<number, TableShape>, table: Table): TableShape | undefined {
  const columns = JSON.stringify(columnNames(table));
  const key = JSON.stringify(keyNames(table));
  return [...shapes.values()].find((shape) =>
    shape.table === table.name && JSON.stringify(shape.columns) === columns &&
    JSON.stringify(shape.key) === key
  );
}

function recordShape(database: Database, shapes: Map<number, TableShape>, table: Table): TableShape {
  const columns = columnNames(table);
  const key = keyNames(table);
  const id = database.count(
    `INSERT INTO ${quote(SCHEMA_HISTORY)} (table_name, columns, key, created_at)
     VALUES (?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)) RETURNING id`,
    table.name,
    JSON.stringify(columns),
    JSON.stringify(key),
  );
  const shape = { id, table: table.name, columns, key };
  shapes.set(id, shape);
  return shape;
}

function hashTables(tables: Table[]): string {
  const canonical = tables.map((table) => [table.name, columnNames(table), keyNames(table)]);
  return createHash("sha256").update(JSON.stringify(canonical)).digest("hex");
}
