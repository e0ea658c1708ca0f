import { exactColumns } from "../sqlite/exact_row.ts";
import type { Parameter } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import type { UniqueIndex } from "../sqlite/unique_indexes.ts";
import { arrivingRow, valueColumn } from "../schema/names.ts";
import { hasNull, holdsUnique, isRow, ofKind } from "../schema/row_conditions.ts";
import { type FollowedTable, hasOneForm } from "../schema/followed_tables.ts";
import { RawText, type SqlValue } from "../wire/event.ts";

/**
 * The SQL that applies changes of one table; pure text.
 *
 * `?1 … ?n` are the values of an event in the order of its columns, so a statement takes the values as they came.
 * `raw` names positions (from 0) that are bound as bytes but are text.
 */
export interface RowSqlOptions {
  readonly table: FollowedTable;
  /** Columns of the event; those that the table does not have are left out of what is written. */
  readonly columns: readonly string[];
  readonly raw: ReadonlySet<number>;
}

function parameter({ columns, raw }: RowSqlOptions, column: string): string {
  const at = columns.indexOf(column);
  return raw.has(at) ? `CAST(?${at + 1} AS TEXT)` : `?${at + 1}`;
}

function written({ table, columns }: RowSqlOptions): string[] {
  return table.columns.map(({ name }) => name).filter((name) => columns.includes(name));
}

function atKey(options: RowSqlOptions): string {
  return isRow(options.table, "row", (column) => parameter(options, column));
}

/**
 * Changes the row with the event's key; undefined when inserting it unless it is there does as well. `keyMayDiffer`: the row may
 * have this very key in another form, though its columns have but one for others.
 */
export function updateRow(options: RowSqlOptions, keyMayDiffer: boolean): string | undefined {
  const { table } = options;
  // A key is written too where equal ones may differ. Elsewhere it would only cost time.
  const ofOneForm = table.key.filter((column) => !keyMayDiffer && hasOneForm(table, column));
  const same = new Set(ofOneForm.map(({ name }) => name));
  const columns = written(options).filter((column) => !same.has(column));
  if (columns.length === 0 && !table.keyIsRowid) return undefined;
  const set = (columns.length > 0 ? columns : [...same])
    .map((column) => `${quote(column)} = ${parameter(options, column)}`);
  return `UPDATE ${quote(table.name)} AS row SET ${set.join(", ")} WHERE ${atKey(options)}`;
}

/**
 * Inserts the row, unless one has its key. Any other clash is an error: the rows that hold its UNIQUE values were removed.
 * A rowid cannot be named as what may clash, so there the row must be known to be absent.
 */
export function insertRow(options: RowSqlOptions): string {
  const { table } = options;
  const columns = written(options);
  const key = table.key.map(({ name }) => quote(name)).join(", ");
  return `INSERT INTO ${quote(table.name)} (${columns.map(quote).join(", ")})
    VALUES (${columns.map((column) => parameter(options, column)).join(", ")})
    ${table.keyIsRowid ? "" : `ON CONFLICT (${key}) DO NOTHING`}`;
}

/**
 * Gives a row with a declared key another rowid if it has the one that a row with NULL in its key comes with: there the
 * rowid identifies nothing, and may differ from node to node.
 */
export function vacateRowid({ table, raw, columns }: RowSqlOptions): string | undefined {
  if (table.nullKey.length === 0) return undefined;
  const rowid = quote(table.rowid!);
  return `UPDATE ${quote(table.name)} AS row SET ${rowid} = (SELECT max(${rowid}) + 1 FROM ${
    quote(table.name)
  })
    WHERE ${rowid} = ${parameter({ table, raw, columns }, table.rowid!)} AND NOT ${
    hasNull(table.nullKey, (name) => `row.${quote(name)}`)
  }`;
}

export function deleteRow(options: RowSqlOptions): string {
  return `DELETE FROM ${quote(options.table.name)} AS row WHERE ${atKey(options)}`;
}

/** Whether the values of an event alone tell what its row has in a UNIQUE index, and that it is in it. */
export function isCarried({ terms, where }: UniqueIndex, columns: readonly string[]): boolean {
  return where === undefined && terms.every(({ column }) => column !== undefined && columns.includes(column));
}

/**
 * The other rows of one kind for which a condition holds, each as {@link wholeRow}.
 */
function selectOthers(options: RowSqlOptions, kind: FollowedTable, condition: string): string {
  const ofRow = (column: string): string => `row.${quote(column)}`;
  return `SELECT ${wholeRow(kind)} FROM ${quote(kind.name)} AS row
    WHERE ${condition}${ofKind(kind, ofRow)} AND NOT (${atKey(options)})`;
}

/** The rows of one kind and of other keys that hold the event's values in a UNIQUE index which is carried. */
export function selectClashing(options: RowSqlOptions, kind: FollowedTable, index: UniqueIndex): string {
  const event = { value: (column: string): string => parameter(options, column), from: () => [] };
  return selectOthers(options, kind, holdsUnique(index, event));
}

/** The rows of one kind and of other keys that hold the values which the arriving row has in a UNIQUE index. */
export function selectClashingWithArriving(
  options: RowSqlOptions,
  kind: FollowedTable,
  index: UniqueIndex,
): string {
  const arriving = arrivingTable(kind);
  const row = {
    value: (column: string): string => `(SELECT ${quote(column)} FROM ${arriving})`,
    from: () => [arriving],
  };
  const isIn = index.where === undefined ? "" : ` AND (SELECT (${index.where.sql}) FROM ${arriving})`;
  return selectOthers(options, kind, holdsUnique(index, row) + isIn);
}

function arrivingTable(table: FollowedTable): string {
  return `temp.${quote(arrivingRow(table.name))}`;
}

export function clearArriving({ table }: RowSqlOptions): string {
  return `DELETE FROM ${arrivingTable(table)}`;
}

/**
 * Puts the row of the event's key that is there, with the event's values over its own, in the arriving row's place.
 * A row that its table refuses arrives nowhere.
 */
export function mergeArriving(options: RowSqlOptions): string {
  const { table, columns } = options;
  const names = table.columns.map(({ name }) => name);
  const values = names.map((name) =>
    columns.includes(name) ? parameter(options, name) : `row.${quote(name)}`
  );
  return `INSERT OR IGNORE INTO ${arrivingTable(table)} (${names.map(quote).join(", ")})
    SELECT ${values.join(", ")} FROM ${quote(table.name)} AS row WHERE ${atKey(options)}`;
}

/** Puts the event's values, as a new row has them, in the arriving row's place. */
export function insertArriving(options: RowSqlOptions): string {
  const columns = written(options);
  return `INSERT OR IGNORE INTO ${arrivingTable(options.table)} (${columns.map(quote).join(", ")})
    VALUES (${columns.map((column) => parameter(options, column)).join(", ")})`;
}

/** What to select of `row` for `ExactValues`: the columns of the table in their order. */
export function wholeRow(table: FollowedTable): string {
  return exactColumns(table.columns.map(({ name }) => `row.${quote(name)}`));
}

/**
 * The parameters for a key, one for each of its columns: text that is bound as bytes has to be told from a blob. All the
 * statements below take such a list, and the values of the key in its order.
 */
export function keyParameters(key: readonly SqlValue[]): string[] {
  return key.map((value) => value instanceof RawText ? "CAST(? AS TEXT)" : "?");
}

/** A value as it is bound; RawText needs a parameter that makes it text again. */
export function bindable(value: SqlValue): Parameter {
  return value instanceof RawText ? value.bytes : value;
}

/** A condition on `row`: it is the one with this key. */
export function hasKey(table: FollowedTable, parameters: readonly string[]): string {
  return isRow(
    table,
    "row",
    (column) => parameters[table.key.findIndex(({ name }) => name === column)]!,
  );
}

/** Removes a row by its key. */
export function deleteByKey(table: FollowedTable, parameters: readonly string[]): string {
  return `DELETE FROM ${quote(table.name)} AS row WHERE ${hasKey(table, parameters)}`;
}

function versionColumns(table: FollowedTable): string[] {
  return table.key.map(({ name }) => quote(valueColumn(name)));
}

/**
 * Stores a version if it is above the one there, or if that one is a tombstone which counts as absent by now; one change
 * says that it was accepted. Parameters: key, ts, node, hash, deleted, and the stream time up to which tombstones expired.
 */
export function acceptVersion(table: FollowedTable, parameters: readonly string[]): string {
  const key = versionColumns(table);
  return `INSERT INTO ${quote(table.versionTable)} (${key.join(", ")}, ts, node, hash, deleted)
    VALUES (${parameters.join(", ")}, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET ts = excluded.ts, node = excluded.node, hash = excluded.hash, deleted = excluded.deleted
    WHERE excluded.ts > ts OR (excluded.ts = ts AND (excluded.node > node OR (excluded.node = node AND excluded.hash > hash)))
      OR (deleted <> 0 AND deleted < ?)`;
}

/** The version of a key: ts, node, hash. */
export function selectVersion(table: FollowedTable, parameters: readonly string[]): string {
  const key = versionColumns(table).map((column, at) => `${column} = ${parameters[at]}`).join(" AND ");
  return `SELECT ts, node, hash, deleted FROM ${quote(table.versionTable)} WHERE ${key}`;
}

/** Sets the version of a row, whatever it was. Parameters: key, ts, node, hash, deleted. */
export function setVersion(table: FollowedTable, parameters: readonly string[]): string {
  const key = versionColumns(table);
  return `INSERT INTO ${quote(table.versionTable)} (${key.join(", ")}, ts, node, hash, deleted)
    VALUES (${parameters.join(", ")}, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET ts = excluded.ts, node = excluded.node, hash = excluded.hash, deleted = excluded.deleted`;
}

export function removeVersion(table: FollowedTable, parameters: readonly string[]): string {
  const key = versionColumns(table).map((column, at) => `${column} = ${parameters[at]}`).join(" AND ");
  return `DELETE FROM ${quote(table.versionTable)} WHERE ${key}`;
}

/** Marks a row that the streams never spoke of, so that all nodes remember that it was there: version (0, 0, 0). */
export function markVersion(table: FollowedTable, parameters: readonly string[]): string {
  const key = versionColumns(table);
  return `INSERT INTO ${quote(table.versionTable)} (${key.join(", ")}, ts, node, hash, deleted)
    VALUES (${parameters.join(", ")}, 0, 0, 0, 0) ON CONFLICT DO NOTHING`;
}
