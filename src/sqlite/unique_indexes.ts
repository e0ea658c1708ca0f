import type { KeyColumn } from "./catalog.ts";
import type { Database, Row } from "./database.ts";
import { quote } from "./identifier.ts";
import { parseIndexSql } from "./index_sql.ts";
import { namedInColumns } from "./table_sql.ts";
import type { Expression } from "./tokens.ts";

/** The collation of what declares no other. */
export const BINARY = "BINARY";

/** One term of a UNIQUE index: a quoted column, or an expression as the user wrote it. */
export interface UniqueTerm extends Expression {
  readonly collation: string;
  /** The column that a plain term names, be it generated; undefined for an expression. */
  readonly column: string | undefined;
}

/** A UNIQUE index besides the key. */
export interface UniqueIndex {
  readonly terms: readonly UniqueTerm[];
  readonly where: Expression | undefined;
  /** The columns that the generated ones among its columns are computed from. */
  readonly sources: readonly string[];
  /** Of the columns in its expressions that convert what they are compared with: name to type, as CAST takes it. */
  readonly types: Readonly<Record<string, string>>;
}

/** A term of any index. */
export interface IndexTerm {
  /** Undefined for an expression. */
  readonly name: string | undefined;
  readonly collation: string;
}

export function readTerms(database: Database, index: string): IndexTerm[] {
  return database
    .all("SELECT name, coll FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno", index)
    .map(([name, collation]) => ({
      name: name === null ? undefined : String(name),
      collation: String(collation ?? BINARY),
    }));
}

/** The columns of a table, as far as its indexes are concerned. */
export interface IndexedColumns {
  /** All of them, and their types as declared. */
  readonly types: ReadonlyMap<string, string>;
  readonly generated: readonly string[];
  readonly key: readonly KeyColumn[];
}

/**
 * The UNIQUE indexes on which rows of different keys can clash, each once.
 *
 * @param indexes name and origin of the table's UNIQUE indexes
 */
export function readUniques(
  database: Database,
  table: string,
  indexes: readonly Row[],
  { types, generated, key }: IndexedColumns,
): UniqueIndex[] {
  const sql = database.value("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", table);
  const names = [...types.keys()];
  const computedFrom = generated.length > 0 ? namedInColumns(String(sql), names) : new Map();
  const uniques = indexes
    .filter(([, origin]) => origin !== "pk")
    .map(([name]) => readUnique(database, String(name), names))
    .map((index) => ({
      ...index,
      sources: sourcesOf(index, generated, computedFrom),
      types: typesOf(index, types),
    }))
    .filter((index) => !holdsKey(index, key));
  return [...new Map(uniques.map((index) => [JSON.stringify(index), index])).values()];
}

function readUnique(
  database: Database,
  name: string,
  columns: readonly string[],
): Omit<UniqueIndex, "sources" | "types"> {
  const sql = database.value("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?", name);
  const parsed = typeof sql === "string" ? parseIndexSql(sql, columns) : undefined;
  const terms = readTerms(database, name).map(({ name: column, collation }, at) => {
    const expression = column === undefined ? parsed!.terms[at]! : { sql: quote(column), columns: [column] };
    return { ...expression, collation, column };
  });
  return { terms, where: parsed?.where };
}

function typesOf(
  { terms }: Pick<UniqueIndex, "terms">,
  types: ReadonlyMap<string, string>,
): Record<string, string> {
  const named = terms.flatMap(({ column, columns }) => column === undefined ? columns : []);
  return Object.fromEntries(
    named.map((column) => [column, castType(types.get(column) ?? "")]).filter(([, type]) => type !== ""),
  );
}

/** See https://sqlite.org/datatype3.html#determination_of_column_affinity; "" for a column that converts nothing. */
function castType(declared: string): string {
  if (/int/i.test(declared)) return "NUMERIC";
  if (/char|clob|text/i.test(declared)) return "TEXT";
  if (/^$|^any$|blob/i.test(declared)) return "";
  return /real|floa|doub/i.test(declared) ? "REAL" : "NUMERIC";
}

/** Columns from which others are computed, be it over further generated ones. */
function sourcesOf(
  { terms }: Pick<UniqueIndex, "terms">,
  generated: readonly string[],
  computedFrom: ReadonlyMap<string, readonly string[]>,
): string[] {
  const sources = new Set<string>();
  const follow = (column: string): void => {
    for (const source of generated.includes(column) ? computedFrom.get(column) ?? [] : []) {
      if (sources.has(source)) continue;
      sources.add(source);
      follow(source);
    }
  };
  terms.forEach(({ columns }) => columns.forEach(follow));
  return [...sources].filter((column) => !generated.includes(column));
}

/** Whether rows that are equal under an index have one key: then no two of them clash. */
function holdsKey({ terms }: UniqueIndex, key: readonly KeyColumn[]): boolean {
  return key.every(({ name, collation }) =>
    terms.some((term) =>
      term.column === name && [BINARY, collation.toUpperCase()].includes(term.collation.toUpperCase())
    )
  );
}
