import type { KeyColumn } from "../sqlite/catalog.ts";
import { quote } from "../sqlite/identifier.ts";
import type { FollowedTable } from "./followed_tables.ts";
import type { UniqueIndex } from "../sqlite/unique_indexes.ts";

/**
 * `left`.key IS `right`.key for every column of the key, under the collations by which the table tells its keys apart: the
 * key may be declared with another collation than its column.
 */
export function sameKey(key: readonly KeyColumn[], left: string, right: (column: string) => string): string {
  return key
    .map(({ name, collation }) => `${left}.${quote(name)} IS ${right(name)} COLLATE ${quote(collation)}`)
    .join(" AND ");
}

/** A key of which at least one column is NULL. */
export function hasNull(key: readonly KeyColumn[], source: (column: string) => string): string {
  return `(${key.map(({ name }) => `${source(name)} IS NULL`).join(" OR ")})`;
}

/** What to add to a condition to have only rows of this kind, where there are others. */
export function ofKind(
  { key, nullRows, nullKey }: FollowedTable,
  source: (column: string) => string,
): string {
  if (nullRows) return ` AND NOT ${hasNull(key, source)}`;
  return nullKey.length > 0 ? ` AND ${hasNull(nullKey, source)}` : "";
}

/** `left` is the row of this kind whose key `right` names. */
export function isRow(table: FollowedTable, left: string, right: (column: string) => string): string {
  const same = sameKey(table.key, left, right);
  return table.nullKey.length === 0
    ? same
    : `${same} AND ${hasNull(table.nullKey, (name) => `${left}.${quote(name)}`)}`;
}

/** A row that need not be in its table, as SQL sees it. */
export interface OtherRow {
  /** Its value of a column. */
  readonly value: (column: string) => string;
  /** What to select from to have these columns of it, one row each; several where one alone does not tell all. */
  readonly from: (columns: readonly string[]) => string[];
}

/**
 * A condition on `row`, a row of the table: it is in a UNIQUE index under the values that another row has there. Whether
 * that other row meets the condition of a partial index is not asked.
 */
export function holdsUnique({ terms, where }: UniqueIndex, other: OtherRow): string {
  const conditions = terms.map(({ sql, column, columns, collation }) => {
    const collate = `COLLATE ${quote(collation)}`;
    if (column !== undefined) return `row.${sql} = ${other.value(column)} ${collate}`;
    const values = other.from(columns).map((from) => `(SELECT (${sql}) FROM ${from})`);
    // A collation inside the expression must not be taken for that of the index.
    return `(${sql}) ${collate} IN (${values.join(", ")})`;
  });
  if (where !== undefined) conditions.push(`(${where.sql})`);
  return conditions.join(" AND ");
}

/**
 * The NEW of a trigger: it has the collations of its columns, but in an expression not their types, which convert what they
 * are compared with. A CAST has, but changes what is not of the type, say a text in an INTEGER column; so both are tried.
 */
export function newRow({ types }: UniqueIndex): OtherRow {
  const value = (column: string): string => `NEW.${quote(column)}`;
  const typed = (column: string): string =>
    types[column] === undefined ? value(column) : `CAST(${value(column)} AS ${types[column]})`;
  return {
    value,
    from: (columns) =>
      [value, typed]
        .slice(0, columns.some((column) => types[column] !== undefined) ? 2 : 1)
        .map((source) => oneRow(columns, source)),
  };
}

/** A table of one row. */
function oneRow(columns: readonly string[], source: (column: string) => string): string {
  if (columns.length === 0) return "(SELECT 1) AS row";
  return `(SELECT ${columns.map((column) => `${source(column)} AS ${quote(column)}`).join(", ")}) AS row`;
}
