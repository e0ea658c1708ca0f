import assert from "node:assert/strict";
import { createDatabase } from "../../tests/support/database.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { type Catalog, readCatalog, type Table } from "./catalog.ts";
import { Database } from "./database.ts";

async function catalogOf(sql: string): Promise<Catalog> {
  await using folder = await makeTempDir();
  const path = folder.file("catalog.db");
  await createDatabase(path, sql);
  using database = Database.open(path);
  return readCatalog(database);
}

async function tablesOf(sql: string): Promise<Map<string, Table>> {
  return new Map((await catalogOf(sql)).tables.map((table) => [table.name, table]));
}

const names = (list: readonly { name: string }[]): string[] => list.map(({ name }) => name);

Deno.test("ordinary tables are listed: no views, virtual tables, their shadows, SQLite's own", async () => {
  const tables = await tablesOf(
    `CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE VIEW v AS SELECT 1;
     CREATE VIRTUAL TABLE f USING fts5 (x); CREATE TABLE "B b" (x PRIMARY KEY); ANALYZE`,
  );
  assert.deepEqual([...tables.keys()], ["B b", "a"]);
});

Deno.test("columns come in order of name by code unit, generated ones left out", async () => {
  const { columns } = (await tablesOf("CREATE TABLE t (b, a, Z, é, g AS (a) STORED, h AS (b))")).get("t")!;
  assert.deepEqual(names(columns), ["Z", "a", "b", "rowid", "é"]);
});

Deno.test("the key is the primary key in its declared order, with the collations of its index", async () => {
  const tables = await tablesOf(
    `CREATE TABLE t (a, b TEXT COLLATE NOCASE, c, PRIMARY KEY (c, b));
     CREATE TABLE w (a TEXT, b, PRIMARY KEY (b, a COLLATE RTRIM)) WITHOUT ROWID;
     CREATE TABLE i (x, id INTEGER PRIMARY KEY)`,
  );
  assert.deepEqual(tables.get("t")!.key, [{ name: "c", collation: "BINARY" }, {
    name: "b",
    collation: "NOCASE",
  }]);
  assert.deepEqual(tables.get("w")!.key, [{ name: "b", collation: "BINARY" }, {
    name: "a",
    collation: "RTRIM",
  }]);
  assert.equal(tables.get("w")!.rowid, undefined);
  assert.deepEqual(tables.get("i")!.key, [{ name: "id", collation: "BINARY" }]);
});

Deno.test("a table without a key has its rowid for one, under a name that no column hides", async () => {
  const tables = await tablesOf("CREATE TABLE a (x); CREATE TABLE b (rowid, OID)");
  assert.deepEqual(names(tables.get("a")!.key), ["rowid"]);
  assert.deepEqual(names(tables.get("b")!.key), ["_rowid_"]);
});

Deno.test("a table that cannot be replicated is left out, with the reason", async () => {
  const wide = Array.from({ length: 900 }, (_, at) => `c${at}`).join();
  const { tables, leftOut } = await catalogOf(
    `CREATE TABLE hidden (rowid, OID, _rowid_); CREATE TABLE shown (rowid PRIMARY KEY, oid, _rowid_);
     CREATE VIRTUAL TABLE words USING fts5 (x); CREATE TABLE wide (${wide});`,
  );
  assert.deepEqual(names(tables), ["shown"]);
  assert.deepEqual([...leftOut], [
    ["hidden", "it has no primary key, and its columns hide every name of the rowid"],
    ["wide", "it has 901 columns, more than 900"],
    ["words", "it is a virtual table"],
  ]);
});

Deno.test("tables in which a module that is not known here keeps its data are left out", async () => {
  const { tables, leftOut } = await catalogOf(
    `CREATE TABLE vec_chunks (x); CREATE TABLE "MY v_info" (x); CREATE TABLE vector (x); CREATE TABLE words_list (x);
     CREATE VIRTUAL TABLE words USING "FTS5" (x); PRAGMA writable_schema = ON;
     INSERT INTO sqlite_schema VALUES ('table', 'Vec', 'Vec', 0, 'CREATE VIRTUAL TABLE Vec USING vec0(a float[3])'),
       ('table', 'my v', 'my v', 0, 'CREATE VIRTUAL TABLE "my v" USING [else where] (a)');`,
  );
  assert.deepEqual(names(tables), ["vector", "words_list"]);
  assert.equal(
    leftOut.get("vec_chunks"),
    'it may hold data of the virtual table "Vec", whose module is not known',
  );
  assert.deepEqual([...leftOut.keys()], ["MY v_info", "Vec", "my v", "vec_chunks", "words"]);
});

Deno.test("UNIQUE indexes besides the key are read with terms, collation and condition", async () => {
  const { uniques } = (await tablesOf(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b TEXT, c);
     CREATE UNIQUE INDEX x ON t (lower(b), c COLLATE NOCASE) WHERE c > 0; CREATE INDEX y ON t (c)`,
  )).get("t")!;
  assert.deepEqual(uniques.find(({ where }) => where !== undefined), {
    terms: [
      { sql: "lower(b)", columns: ["b"], collation: "BINARY", column: undefined },
      { sql: `"c"`, columns: ["c"], collation: "NOCASE", column: "c" },
    ],
    where: { sql: "c > 0", columns: ["c"] },
    sources: [],
    types: { b: "TEXT" },
  });
  assert.deepEqual(uniques.map(({ terms }) => terms.length).toSorted(), [1, 2]);
});

Deno.test("a UNIQUE index counts once, and not at all when equal rows in it have one key", async () => {
  const tables = await tablesOf(
    `CREATE TABLE a (id INTEGER PRIMARY KEY, x UNIQUE, y, UNIQUE (x), UNIQUE (id), UNIQUE (y, id));
     CREATE UNIQUE INDEX a_x ON a (x DESC); CREATE UNIQUE INDEX a_id ON a (id) WHERE x > 0;
     CREATE UNIQUE INDEX a_x_else ON a (x COLLATE NOCASE);
     CREATE TABLE b (k TEXT, l, PRIMARY KEY (k COLLATE NOCASE, l)) WITHOUT ROWID;
     CREATE UNIQUE INDEX b_kl ON b (l, k COLLATE NOCASE); CREATE UNIQUE INDEX b_lk ON b (l, k);
     CREATE UNIQUE INDEX b_rtrim ON b (l, k COLLATE RTRIM); CREATE UNIQUE INDEX b_k ON b (k)`,
  );
  const collations = (table: string): string[] =>
    tables.get(table)!.uniques.map(({ terms }) =>
      terms.map(({ sql, collation }) => `${sql} ${collation}`).join()
    );
  assert.deepEqual(collations("a").toSorted(), ['"x" BINARY', '"x" NOCASE']);
  assert.deepEqual(collations("b").toSorted(), ['"k" BINARY', '"l" BINARY,"k" RTRIM']);
});

Deno.test("a UNIQUE index over generated columns tells what they are computed from", async () => {
  const { uniques } = (await tablesOf(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b DEFAULT 'c', c CHECK (a > 0), g AS (lower("A") || h) UNIQUE,
       h INT GENERATED ALWAYS AS ((b + length(',c)'))) STORED, i AS (c), CHECK (c > b))`,
  )).get("t")!;
  assert.deepEqual(uniques[0]!.sources.toSorted(), ["a", "b"]);
});
