import { nullRowVersion, rowVersion } from "../../src/schema/names.ts";
import { quote } from "../../src/sqlite/identifier.ts";

/** A table of the simulation: one of each kind that is replicated in its own way. */
export interface SimTable {
  readonly name: string;
  /** Makes it, and the rows that were there before replication: the same on every node. */
  readonly create: string;
  readonly firstRows: string;
  /** The key, the others, and at last `x`: each write gives it a value never used before. */
  readonly columns: readonly string[];
  readonly key: readonly string[];
  /** Keys that all nodes write, as SQL literals. */
  readonly keys: readonly (readonly string[])[];
  /** Literals for the columns between key and `x`. */
  readonly values: readonly (readonly string[])[];
  /** Several rows may have NULL for their key. */
  readonly keyMayBeNull?: true;
  /** A row may be gone for a moment, as another takes its UNIQUE value. */
  readonly hasUniques?: true;
}

const ANYTHING = [
  "NULL",
  "1",
  "1.0",
  "''",
  "'1'",
  "x''",
  "x'00ff'",
  "9223372036854775807",
  "-9223372036854775808",
  "9e999",
  "0.1",
  "'é😀'",
  "CAST(x'610062' AS TEXT)",
  "CAST(x'ff61' AS TEXT)",
];

export const SIM_TABLES: readonly SimTable[] = [
  {
    name: "plain",
    create: "CREATE TABLE plain (id INTEGER PRIMARY KEY, a, x TEXT)",
    firstRows: "INSERT INTO plain (id, a, x) VALUES (1, 'seed', 'seed 1')",
    columns: ["id", "a", "x"],
    key: ["id"],
    keys: [["1"], ["2"], ["3"]],
    values: [ANYTHING],
  },
  {
    name: "uniq",
    create: `CREATE TABLE uniq (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, w TEXT, x TEXT);
      CREATE UNIQUE INDEX uniq_w ON uniq (lower(w)) WHERE w IS NOT NULL`,
    firstRows: "INSERT INTO uniq (id, u, w, x) VALUES (1, 1, 'a', 'seed 2'), (2, 2, NULL, 'seed 3')",
    columns: ["id", "u", "w", "x"],
    key: ["id"],
    keys: [["1"], ["2"], ["3"], ["4"]],
    values: [["NULL", "1", "2", "3"], ["NULL", "'a'", "'A'", "'b'"]],
    hasUniques: true,
  },
  {
    name: "bare",
    create: "CREATE TABLE bare (a, x TEXT)",
    firstRows: "INSERT INTO bare (a, x) VALUES (0, 'seed 4')",
    columns: ["rowid", "a", "x"],
    key: ["rowid"],
    keys: [["1"], ["2"], ["3"]],
    values: [ANYTHING],
  },
  {
    name: "pair",
    create: "CREATE TABLE pair (p TEXT, q INTEGER, a, x TEXT, PRIMARY KEY (q, p)) WITHOUT ROWID",
    firstRows: "",
    columns: ["q", "p", "a", "x"],
    key: ["q", "p"],
    keys: [["1", "'a'"], ["2", "'a'"], ["1", "'A'"]],
    values: [ANYTHING],
  },
  {
    name: "folded",
    create: "CREATE TABLE folded (k TEXT PRIMARY KEY COLLATE NOCASE, a, x TEXT)",
    firstRows: "",
    columns: ["k", "a", "x"],
    key: ["k"],
    keys: [["'a'"], ["'A'"], ["'b'"]],
    values: [ANYTHING],
  },
  {
    name: "loose",
    create: "CREATE TABLE loose (k PRIMARY KEY, a, x TEXT)",
    firstRows: "",
    columns: ["k", "a", "x"],
    key: ["k"],
    keys: [["1"], ["1.0"], ["'1'"], ["x'31'"], ["2.5"]],
    values: [ANYTHING],
  },
  {
    name: "nullable",
    create: "CREATE TABLE nullable (k TEXT PRIMARY KEY, a, x TEXT)",
    firstRows: "",
    columns: ["k", "a", "x"],
    key: ["k"],
    keys: [["NULL"], ["NULL"], ["'a'"], ["'b'"]],
    values: [ANYTHING],
    keyMayBeNull: true,
  },
  {
    name: "derived",
    create:
      `CREATE TABLE derived (k TEXT PRIMARY KEY, u INTEGER, w TEXT COLLATE NOCASE, x TEXT, g TEXT AS (u || w) UNIQUE);
      CREATE UNIQUE INDEX derived_u ON derived (u) WHERE w = 'a' OR w = 1;
      CREATE UNIQUE INDEX derived_w ON derived (CASE WHEN u = '1' THEN w END)`,
    firstRows: "",
    columns: ["k", "u", "w", "x"],
    key: ["k"],
    keys: [["NULL"], ["'a'"], ["'b'"], ["'c'"]],
    values: [["NULL", "1", "2", "3"], ["NULL", "'1'", "'A'", "'a'"]],
    keyMayBeNull: true,
    hasUniques: true,
  },
];

/** Comes into being while it runs, if at all. */
export const LATE: SimTable = {
  name: "late",
  create: "CREATE TABLE late (id INTEGER PRIMARY KEY, a, x TEXT)",
  firstRows: "",
  columns: ["id", "a", "x"],
  key: ["id"],
  keys: [["1"], ["2"], ["3"]],
  values: [ANYTHING],
};

/** Its rows have one writer each and are never deleted: none may be missing in the end. */
export const LEDGER: SimTable = {
  name: "ledger",
  create: "CREATE TABLE ledger (id TEXT PRIMARY KEY, x TEXT)",
  firstRows: "",
  columns: ["id", "x"],
  key: ["id"],
  keys: [],
  values: [],
};

/** Whether a row may go from one node: where each key is written in one way, and no row makes room for another. */
export function canDecay({ name, hasUniques, keyMayBeNull }: SimTable): boolean {
  return !hasUniques && !keyMayBeNull && !["folded", "loose", "ledger"].includes(name);
}

/** The exact value of an expression as text, with its type. */
export function exactly(expression: string): string {
  return `typeof(${expression}) || ' ' || hex(CAST(${expression} AS BLOB))`;
}

/** Text that is equal for two keys exactly when SQLite takes them for the same. */
export function sameKeyText(table: SimTable, column: (name: string) => string): string {
  const same = (name: string): string => {
    const value = column(name);
    if (table.keyMayBeNull) {
      return `CASE WHEN ${value} IS NULL THEN 'rowid ' || ${column("rowid")} ELSE ${exactly(value)} END`;
    }
    if (table.name === "folded") return `lower(${value})`;
    return `CASE WHEN typeof(${value}) = 'real' AND ${value} = CAST(${value} AS INTEGER)
      THEN ${exactly(`CAST(${value} AS INTEGER)`)} ELSE ${exactly(value)} END`;
  };
  return table.key.map(same).join(" || ',' || ");
}

export function columnsText(table: SimTable, column: (name: string) => string): string {
  return table.columns.map((name) => exactly(column(name))).join(" || ', ' || ");
}

/** Text that tells the rows of a table apart. */
export function rowText({ key, keyMayBeNull }: SimTable): string {
  return keyMayBeNull ? "rowid" : key.join(" || '.' || ");
}

/** The versions of a table's rows, as a FROM clause has it. */
export function versionsOf({ name, keyMayBeNull }: SimTable): string {
  const versions = quote(rowVersion(name));
  if (!keyMayBeNull) return versions;
  return `(SELECT *, NULL AS val_rowid FROM ${versions}
    UNION ALL SELECT NULL, ts, node, hash, deleted, val_rowid FROM ${quote(nullRowVersion(name))})`;
}

export const ofTable = (column: string): string => quote(column);
export const ofLog = (column: string): string => quote(`val_${column}`);
