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

/**
 * A condition on `row`, a row of the table: it is in a UNIQUE index under the values that another row has there. Whether
 * that other row meets the condition of a partial index is not asked.
 *
 * @param source where the other row's value of a column comes from
 * @param other what to select from to have these columns of the other row
 */
export function holdsUnique(
  { terms, where }: UniqueIndex,
  source: (column: string) => string,
  other: (columns: readonly string[]) => string = (columns) => oneRow(columns, source),
): string {
  const conditions = terms.map(({ sql, column, columns, collation }) =>
    column === undefined
      // A collation inside the expression must not be taken for that of the index.
      ? `(${sql}) COLLATE ${quote(collation)} = (SELECT (${sql}) FROM ${other(columns)})`
      : `row.${sql} = ${source(column)} COLLATE ${quote(collation)}`
  );
  if (where !== undefined) conditions.push(`(${where.sql})`);
  return conditions.join(" AND ");
}

/** A table of one row. */
function oneRow(columns: readonly string[], source: (column: string) => string): string {
  if (columns.length === 0) return "(SELECT 1) AS row";
  return `(SELECT ${columns.map((column) => `${source(column)} AS ${quote(column)}`).join(", ")}) AS row`;
}
