import type { Database, Row } from "./database.ts";
import { quote } from "./identifier.ts";
import { parseIndexSql } from "./index_sql.ts";

/** A column that holds data of its own: generated ones are left out, and the rowid counts as one when it is the key. */
export interface Column {
  readonly name: string;
  /** The type as declared, "" without one. */
  readonly type: string;
  readonly notNull: boolean;
}

/** A column of a row's key, with the collation by which SQLite tells keys apart. */
export interface KeyColumn {
  readonly name: string;
  readonly collation: string;
}

/** One term of a UNIQUE index. */
export interface UniqueTerm {
  /** SQL text over the columns of the table: a quoted column, or an expression as the user wrote it. */
  readonly sql: string;
  readonly collation: string;
  /** The columns a plain term names; undefined for an expression, which may use any. */
  readonly column: string | undefined;
}

/** A UNIQUE index besides the key. */
export interface UniqueIndex {
  readonly name: string;
  readonly terms: readonly UniqueTerm[];
  readonly where: string | undefined;
}

/** An ordinary table as the database has it now. */
export interface Table {
  readonly name: string;
  /** In ascending code-unit order of name: the order in which rows travel. */
  readonly columns: readonly Column[];
  /**
   * What identifies a row: the primary key in its declared order; for a table without one its rowid, under the alias
   * that no column hides.
   */
  readonly key: readonly KeyColumn[];
  /** The alias of the rowid when the table has one that no column hides. */
  readonly rowid: string | undefined;
  /** Whether the rowid is the key, as the table declares none. */
  readonly keyIsRowid: boolean;
  /** Whether the key may hold NULL, which SQLite allows where the key is neither the rowid itself nor NOT NULL. */
  readonly keyMayBeNull: boolean;
  readonly uniques: readonly UniqueIndex[];
}

const ROWID_ALIASES = ["rowid", "_rowid_", "oid"];
const BINARY = "BINARY";

/**
 * The ordinary tables of the main database: no views, no virtual tables nor their shadows, none of SQLite's own.
 * A table of which no row can be told apart (no primary key, and columns that hide every name of the rowid) is left out.
 */
export function readTables(database: Database): Table[] {
  return database
    .all("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name")
    .filter(([name]) => !/^sqlite_/i.test(String(name)))
    .map(([name, withoutRowid]) => readTable(database, String(name), withoutRowid !== 0n))
    .filter((table) => table.key.length > 0);
}

function readTable(database: Database, name: string, withoutRowid: boolean): Table {
  const all = database.all('SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)', name);
  const taken = new Set(all.map((row) => String(row[0]).toLowerCase()));
  const rowid = withoutRowid ? undefined : ROWID_ALIASES.find((alias) => !taken.has(alias));
  const indexes = database.all('SELECT name, origin FROM pragma_index_list(?) WHERE "unique" = 1', name);
  const declared = declaredKey(database, all, indexes);
  const columns = all.filter((row) => row[4] === 0n).map(toColumn).sort(byName);
  const keyIsRowid = declared.length === 0 && rowid !== undefined;
  return {
    name,
    ...(keyIsRowid ? keyedByRowid({ columns }, rowid) : { columns, key: declared, keyIsRowid: false }),
    rowid,
    keyMayBeNull: !withoutRowid && indexes.some((row) => row[1] === "pk") &&
      all.some((row) => row[3] !== 0n && row[2] === 0n),
    uniques: indexes.filter((row) => row[1] !== "pk").map((row) => readUnique(database, String(row[0]))),
  };
}

/** What a table has when the rowid is its key: a column more, which counts as data. */
export function keyedByRowid(
  { columns }: Pick<Table, "columns">,
  rowid: string,
): Pick<Table, "columns" | "key" | "keyIsRowid"> {
  const column = { name: rowid, type: "INTEGER", notNull: true };
  return {
    columns: [...columns, column].sort(byName),
    key: [{ name: rowid, collation: BINARY }],
    keyIsRowid: true,
  };
}

function toColumn([name, type, notNull]: Row): Column {
  return { name: String(name), type: String(type), notNull: notNull === 1n };
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** The primary key in declared order; its collations stand in the index that enforces it, if it is not the rowid itself. */
function declaredKey(database: Database, columns: Row[], indexes: Row[]): KeyColumn[] {
  const index = indexes.find((row) => row[1] === "pk");
  const collations = new Map(
    index ? keyTerms(database, String(index[0])).map((term) => [term.name, term.collation]) : [],
  );
  return columns
    .filter((row) => row[3] !== 0n)
    .sort((a, b) => Number(a[3]) - Number(b[3]))
    .map((row) => ({ name: String(row[0]), collation: collations.get(String(row[0])) ?? BINARY }));
}

interface IndexTerm {
  /** Undefined for an expression. */
  readonly name: string | undefined;
  readonly collation: string;
}

function keyTerms(database: Database, index: string): IndexTerm[] {
  return database
    .all("SELECT name, coll FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno", index)
    .map(([name, collation]) => ({
      name: name === null ? undefined : String(name),
      collation: String(collation ?? BINARY),
    }));
}

function readUnique(database: Database, name: string): UniqueIndex {
  const sql = database.value("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?", name);
  const parsed = typeof sql === "string" ? parseIndexSql(sql) : { terms: [], where: undefined };
  const terms = keyTerms(database, name).map((term, at) => ({
    sql: term.name === undefined ? parsed.terms[at] ?? "NULL" : quote(term.name),
    collation: term.collation,
    column: term.name,
  }));
  return { name, terms, where: parsed.where };
}
