import { foldCase } from "../lib/ascii.ts";
import { type Database, isUnpreparable, type Row } from "./database.ts";
import { quote } from "./identifier.ts";
import { tokenize, unquoted } from "./tokens.ts";
import { BINARY, readTerms, readUniques, type UniqueIndex } from "./unique_indexes.ts";

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
  /** Whether some column has a collation that only some programs' SQLite may have. */
  readonly hasOwnCollation: boolean;
  /** The UNIQUE indexes besides the key. */
  readonly uniques: readonly UniqueIndex[];
}

/** What a database holds of tables. */
export interface Catalog {
  /** The ordinary tables of which every row can be told apart, by name. */
  readonly tables: readonly Table[];
  /** Tables that cannot be replicated: name to the reason, in words for a person. */
  readonly leftOut: ReadonlyMap<string, string>;
}

const ROWID_ALIASES = ["rowid", "_rowid_", "oid"];
/** SQLite takes 2000 columns, but a condition over all columns, as in our triggers, may be 1000 deep at most. */
const MAX_COLUMNS = 900;
const QUOTED = /"(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^\]]*\]/.source;
const USING = new RegExp(
  `^CREATE VIRTUAL TABLE (?:${QUOTED}|\\S+)\\s+USING\\s+(?:(${QUOTED})|([^\\s(]+))`,
  "i",
);

/**
 * The tables of the main database: no views, no shadows of virtual tables, none of SQLite's own.
 *
 * @param isPassedOver tables that nothing is to be said of, by name
 */
export function readCatalog(database: Database, isPassedOver = (_name: string): boolean => false): Catalog {
  const found = database.all(
    `SELECT name, type, wr FROM pragma_table_list
     WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name`,
  );
  const strangers = strangeTables(database);
  const tables: Table[] = [];
  const leftOut = new Map<string, string>();
  for (const [name, type, withoutRowid] of found) {
    if (isPassedOver(String(name))) continue;
    if (type === "virtual") {
      leftOut.set(String(name), "it is a virtual table");
      continue;
    }
    const table = readTable(database, String(name), withoutRowid !== 0n);
    const obstacle = findObstacle(table, strangers);
    if (obstacle === undefined) tables.push(table);
    else leftOut.set(table.name, obstacle);
  }
  return { tables, leftOut };
}

/** Why an ordinary table cannot be replicated, if so. */
function findObstacle({ name, key, columns }: Table, strangers: readonly string[]): string | undefined {
  const owner = strangers.find((stranger) => foldCase(name).startsWith(foldCase(`${stranger}_`)));
  if (owner !== undefined) {
    return `it may hold data of the virtual table "${owner}", whose module is not known`;
  }
  if (key.length === 0) return "it has no primary key, and its columns hide every name of the rowid";
  if (columns.length > MAX_COLUMNS) return `it has ${columns.length} columns, more than ${MAX_COLUMNS}`;
  return undefined;
}

/**
 * Virtual tables of modules that this SQLite does not have. Of the others it knows in which tables they keep their data;
 * of these it takes them for ordinary ones. They are called after their owner: `<owner>_…`.
 */
function strangeTables(database: Database): string[] {
  const known = new Set(
    database.all("SELECT name FROM pragma_module_list").map(([name]) => foldCase(String(name))),
  );
  return database
    .all("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND rootpage = 0")
    .filter(([, sql]) => !known.has(foldCase(moduleOf(String(sql)))))
    .map(([name]) => String(name));
}

/** The module of a virtual table, from its CREATE statement as SQLite keeps it; "" when it cannot be told. */
function moduleOf(sql: string): string {
  const [, bracketed, bare] = USING.exec(sql) ?? [];
  return bare ?? bracketed?.slice(1, -1) ?? "";
}

function readTable(database: Database, name: string, withoutRowid: boolean): Table {
  const all = database.all('SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)', name);
  const taken = new Set(all.map((row) => foldCase(String(row[0]))));
  const rowid = withoutRowid ? undefined : ROWID_ALIASES.find((alias) => !taken.has(alias));
  const indexes = database.all('SELECT name, origin FROM pragma_index_list(?) WHERE "unique" = 1', name);
  const declared = declaredKey(database, all, indexes);
  const columns = all.filter((row) => row[4] === 0n).map(toColumn).sort(byName);
  const keyIsRowid = declared.length === 0 && rowid !== undefined;
  const keyed = keyIsRowid ? keyedByRowid({ columns }, rowid) : { columns, key: declared, keyIsRowid: false };
  return {
    name,
    ...keyed,
    rowid,
    keyMayBeNull: !withoutRowid && indexes.some((row) => row[1] === "pk") &&
      all.some((row) => row[3] !== 0n && row[2] === 0n),
    hasOwnCollation: hasOwnCollation(database, name),
    uniques: readUniques(database, name, indexes, {
      types: new Map([...keyed.columns, ...all.map(toColumn)].map(({ name, type }) => [name, type])),
      generated: all.filter((row) => row[4] !== 0n).map((row) => String(row[0])),
      key: keyed.key,
    }),
  };
}

const BUILT_IN_COLLATIONS = ["binary", "nocase", "rtrim"];

function hasOwnCollation(database: Database, table: string): boolean {
  const sql = database.value("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", table);
  const tokens = tokenize(String(sql));
  return tokens.some((token, at) => {
    const name = tokens[at + 1];
    return foldCase(token.text) === "collate" && name !== undefined &&
      !BUILT_IN_COLLATIONS.includes(foldCase(unquoted(name)));
  });
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
    index ? readTerms(database, String(index[0])).map((term) => [term.name, term.collation]) : [],
  );
  return columns
    .filter((row) => row[3] !== 0n)
    .sort((a, b) => Number(a[3]) - Number(b[3]))
    .map((row) => ({ name: String(row[0]), collation: collations.get(String(row[0])) ?? BINARY }));
}

/** Whether a collation is one that this program's SQLite has: the pragma also lists those that a schema only names. */
export function knowsCollation(database: Database, name: string): boolean {
  try {
    database.prepare(`SELECT '' = '' COLLATE ${quote(name)}`);
    return true;
  } catch (error) {
    if (isUnpreparable(error)) return false;
    throw error;
  }
}
