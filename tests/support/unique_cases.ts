import type { Random } from "../sim/random.ts";
import type { SqlValue } from "../../src/wire/event.ts";

export interface UniqueKey {
  readonly name: string;
  readonly declaration: string;
  /** Behind the columns. */
  readonly end?: string;
  readonly values: readonly SqlValue[];
  /** Whether rows may have NULL for their key: those have a rowid besides. */
  readonly mayBeNull?: boolean;
}

/** A table `t` with random UNIQUE indexes: its schema, and which of its columns are its key and hold data. */
export interface UniqueCase {
  readonly sql: string;
  readonly key: UniqueKey;
  readonly columns: readonly string[];
}

const TYPES = [
  "",
  "INTEGER",
  "TEXT",
  "REAL",
  "NUMERIC",
  "BLOB",
  "TEXT COLLATE NOCASE",
  "TEXT COLLATE RTRIM",
  "COLLATE NOCASE",
];
const KEYS: readonly UniqueKey[] = [
  { name: "id", declaration: "id INTEGER PRIMARY KEY,", values: [1n, 2n, 3n, 4n] },
  { name: "id", declaration: "id TEXT PRIMARY KEY COLLATE NOCASE,", values: ["a", "A", "b", "c", "d"] },
  { name: "id", declaration: "id PRIMARY KEY,", end: "WITHOUT ROWID", values: [1n, 1.0, 2n, "a", "b"] },
  { name: "rowid", declaration: "", values: [0n, 1n, 2n, 3n] },
  { name: "id", declaration: "id TEXT PRIMARY KEY,", values: ["a", "b", "c", "d"], mayBeNull: true },
];
const GENERATED = ["lower(a)", "a || b", "a = 1", "b + 1", "CASE WHEN c = 'a' THEN b END", "b"];
const TERMS = [
  "a",
  "b",
  `"C"`,
  "g",
  "a COLLATE NOCASE",
  "b COLLATE BINARY",
  "g COLLATE RTRIM",
  "lower(a)",
  "a || b",
  "a = 'on'",
  "coalesce(a, c, '(,)')",
  "a COLLATE NOCASE || b",
  "a || b COLLATE NOCASE",
  "b < 'b'",
  "substr(g, 1, 1) -- first\n",
  "CAST(b AS TEXT)",
  "+a",
  "-[b]",
  "typeof(c)",
  "a = 1",
  "CASE WHEN b = '1' THEN a END",
  "(a = b COLLATE NOCASE) COLLATE RTRIM",
  "a IN (1, 'A')",
];

const CONDITIONS = [
  "b IS NOT NULL",
  "a = 1",
  "a = 'on'",
  "t.b > 0",
  "g > 'a'",
  "c IN ('1', 2)",
  "a LIKE 'o%' OR b",
  "a BETWEEN 0 AND 'z' -- note",
  "typeof(b) = 'text' AND \"main\".t.a <> '?9 )'",
];
const VALUES: readonly SqlValue[] = [null, 0n, 1n, 2n, 1.0, 1.5, "1", "1.0", "a", "A", "a ", "on", "ON"];
const BYTES = new Uint8Array([0x61]);

export function uniqueCase(random: Random): UniqueCase {
  const key = random.pick(KEYS);
  const generated = `g ${random.pick(TYPES)} AS (${random.pick(GENERATED)}) ${
    random.pick(["STORED", "VIRTUAL"])
  }`;
  const columns = ["a", "b", "c"].map((name) =>
    `${name} ${random.pick(TYPES)} ${random.pick(["", "", "DEFAULT 1", "UNIQUE"])}`
  );
  const table = `CREATE TABLE t (${key.declaration} ${columns.join(", ")}, ${generated}) ${key.end ?? ""};`;
  const indexes = Array.from({ length: 1 + random.below(3) }, (_, at) => uniqueIndex(random, at));
  return {
    sql: table + indexes.join(";"),
    key,
    columns: ["a", "b", "c"],
  };
}

function uniqueIndex(random: Random, number: number): string {
  const terms = Array.from(
    { length: 1 + random.below(2) },
    () => `${random.pick(TERMS)} ${random.pick(["", "", "DESC", "ASC"])}`,
  );
  const where = random.chance(0.4) ? `WHERE ${random.pick(CONDITIONS)}` : "";
  return `CREATE UNIQUE INDEX i${number} ON t (${terms.join(", ")}) ${where}`;
}

export function uniqueValue(random: Random): SqlValue {
  return random.chance(0.05) ? BYTES : random.pick(VALUES);
}
