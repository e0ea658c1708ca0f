import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";
import { follows, type TableFilter } from "./followed_tables.ts";

function chosen(filter: Partial<TableFilter>, ...tables: string[]): string[] {
  return tables.filter((table) => follows({ include: [], exclude: [], ...filter }, table));
}

Deno.test("all tables are followed unless something is said", () => {
  assert.deepEqual(chosen({}, "a", "B c"), ["a", "B c"]);
});

Deno.test("include and exclude are globs over whole names, without case", () => {
  assert.deepEqual(chosen({ include: ["user*", "log_?"] }, "users", "USER", "my_user", "log_1", "log_12"), [
    "users",
    "USER",
    "log_1",
  ]);
  assert.deepEqual(chosen({ exclude: ["tmp_*"] }, "tmp_a", "a"), ["a"]);
  assert.deepEqual(chosen({ include: ["a*"], exclude: ["ab"] }, "a", "ab", "b"), ["a"]);
});

Deno.test("nothing but * and ? has a meaning in a glob", () => {
  assert.deepEqual(chosen({ include: ["a.c", "x(y)[z]"] }, "abc", "a.c", "x(y)[z]"), ["a.c", "x(y)[z]"]);
});

Deno.test("a schema knows every shape that a table had", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  lab.run("ALTER TABLE t ADD COLUMN b");
  await lab.schema.refresh();
  lab.run("DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  await lab.schema.refresh();
  const { shapes, tables } = lab.schema.current;
  assert.deepEqual([...shapes.values()].map(({ columns }) => columns.join()), ["a,id", "a,b,id"]);
  assert.equal(tables.get("t")!.shapeId, [...shapes.keys()][0], "the first shape is used again");
});

Deno.test("the hash of a schema tells what rows can be exchanged, and nothing else", async () => {
  const hash = async (sql: string): Promise<string> => {
    await using lab = await CoreLab.open(sql);
    return lab.schema.current.hash;
  };
  const plain = await hash("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  assert.equal(await hash("CREATE TABLE t (a, id INTEGER PRIMARY KEY); CREATE INDEX i ON t (a)"), plain);
  assert.notEqual(await hash("CREATE TABLE t (id INTEGER PRIMARY KEY, b)"), plain);
  assert.notEqual(await hash("CREATE TABLE t (a, id, PRIMARY KEY (id, a))"), plain);
});

Deno.test("where order counts or equal keys differ in their bytes a table has one shard", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE plain (id INTEGER PRIMARY KEY, a); CREATE TABLE words (k TEXT PRIMARY KEY);
     CREATE TABLE uniq (id INTEGER PRIMARY KEY, a UNIQUE); CREATE TABLE folded (k TEXT PRIMARY KEY COLLATE NOCASE);
     CREATE TABLE loose (k PRIMARY KEY); CREATE TABLE bare (a)`,
  );
  const oneShard = [...lab.schema.current.tables.values()].filter((table) => table.oneShard);
  assert.deepEqual(oneShard.map(({ name }) => name).sort(), ["folded", "loose", "uniq"]);
});
