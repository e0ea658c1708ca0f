import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { makeTempDir } from "../../tests/support/temp.ts";
import { readTables, type Table } from "./catalog.ts";
import { Database } from "./database.ts";

async function tablesOf(sql: string): Promise<Map<string, Table>> {
  await using folder = await makeTempDir();
  const path = folder.file("catalog.db");
  const db = new DatabaseSync(path);
  db.exec(sql);
  db.close();
  using database = Database.open(path);
  return new Map(readTables(database).map((table) => [table.name, table]));
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
  const tables = await tablesOf(
    "CREATE TABLE a (x); CREATE TABLE b (rowid, OID); CREATE TABLE c (rowid, oid, _rowid_)",
  );
  assert.deepEqual(names(tables.get("a")!.key), ["rowid"]);
  assert.deepEqual(names(tables.get("b")!.key), ["_rowid_"]);
  assert.equal(tables.has("c"), false, "its rows cannot be told apart");
});

Deno.test("UNIQUE indexes besides the key are read with terms, collation and condition", async () => {
  const { uniques } = (await tablesOf(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b TEXT, c);
     CREATE UNIQUE INDEX x ON t (lower(b), c COLLATE NOCASE) WHERE c > 0; CREATE INDEX y ON t (c)`,
  )).get("t")!;
  assert.deepEqual(uniques.find(({ name }) => name === "x"), {
    name: "x",
    terms: [
      { sql: "lower(b)", collation: "BINARY", column: undefined },
      { sql: `"c"`, collation: "NOCASE", column: "c" },
    ],
    where: "c > 0",
  });
  assert.deepEqual(uniques.map(({ terms }) => terms.length).toSorted(), [1, 2]);
});
