import type { KeyColumn, UniqueIndex, UniqueTerm } from "../sqlite/catalog.ts";
import { quote } from "../sqlite/identifier.ts";
import type { FollowedTable } from "./followed_tables.ts";

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

/** `left` is the row of this kind whose key `right` names. */
export function isRow(table: FollowedTable, left: string, right: (column: string) => string): string {
  const same = sameKey(table.key, left, right);
  return table.nullKey.length === 0
    ? same
    : `${same} AND ${hasNull(table.nullKey, (name) => `${left}.${quote(name)}`)}`;
}

/**
 * A condition on `row`, a row of the table: it holds the values that another row, given by `source`, has in a UNIQUE index.
 * Expressions and the condition of a partial index are evaluated for the other row by giving them a table of that one row.
 */
export function holdsUnique(
  table: FollowedTable,
  index: UniqueIndex,
  source: (column: string) => string,
): string {
  const other = `(SELECT ${
    table.columns.map(({ name }) => `${source(name)} AS ${quote(name)}`).join(", ")
  }) AS row`;
  const match = (term: UniqueTerm): string => {
    const collate = ` COLLATE ${quote(term.collation)}`;
    if (term.column !== undefined) return `row.${term.sql} = ${source(term.column)}${collate}`;
    return `(${term.sql}) = (SELECT (${term.sql}) FROM ${other})${collate}`;
  };
  const conditions = index.terms.map(match);
  if (index.where !== undefined) {
    conditions.push(`(${index.where})`, `(SELECT (${index.where}) FROM ${other})`);
  }
  return conditions.join(" AND ");
}
