import assert from "node:assert/strict";
import { compareDatabases, createDatabase, dumpTable, runSql, userTables } from "./database.ts";
import { makeTempDir } from "./temp.ts";

/** The differences between two databases with these contents, without their paths. */
async function differences(a: string, b: string): Promise<string[]> {
  await using dir = await makeTempDir();
  const [left, right] = [dir.file("a"), dir.file("b")];
  await createDatabase(left, a);
  await createDatabase(right, b);
  return compareDatabases([left, right]).map(({ text }) => text.replaceAll(`${dir.path}/`, ""));
}

Deno.test("equal contents compare equal, whatever the order and whatever is ours", async () => {
  const found = await differences(
    "CREATE TABLE t (id INTEGER PRIMARY KEY, x, y); INSERT INTO t VALUES (1, 'a', 2.0), (2, x'00ff', NULL)",
    `CREATE TABLE t (id INTEGER PRIMARY KEY, y, x); INSERT INTO t VALUES (2, NULL, x'00ff'), (1, 2.0, 'a');
     CREATE TABLE __harmonylite__t_change_log (id)`,
  );
  assert.deepEqual(found, []);
});

Deno.test("values that look alike but differ in type are told apart", async () => {
  for (
    const [a, b] of [["1", "1.0"], ["'1'", "1"], ["''", "NULL"], ["x'61'", "'a'"], ["0.1", "0.1 + 1e-17"]]
  ) {
    const table = (value = ""): string => `CREATE TABLE t (x); INSERT INTO t VALUES (${value})`;
    assert.equal((await differences(table(a), table(b))).length, 2, `${a} and ${b}`);
  }
});

Deno.test("texts that differ behind a NUL are told apart", async () => {
  const table = (end: string): string =>
    `CREATE TABLE t (x); INSERT INTO t VALUES (CAST(x'6100${end}' AS TEXT))`;
  assert.deepEqual(await differences(table("62"), table("63")), [
    "t (x): (text x'610062') is in a, not in b",
    "t (x): (text x'610063') is in b, not in a",
  ]);
});

Deno.test("a row that occurs twice is not the same as once", async () => {
  const found = await differences(
    "CREATE TABLE t (x); INSERT INTO t VALUES (7), (7)",
    "CREATE TABLE t (x); INSERT INTO t VALUES (7)",
  );
  assert.deepEqual(found, ["t (x): (integer 7) is in a, not in b"]);
});

Deno.test("missing tables and columns are reported", async () => {
  const found = await differences("CREATE TABLE t (x); CREATE TABLE u (x)", "CREATE TABLE t (x, y)");
  assert.deepEqual(found, ["t: columns (x) in a, (x,y) in b", "u: is in a, not in b"]);
});

Deno.test("virtual tables and their shadow tables are left out", async () => {
  await using dir = await makeTempDir();
  await createDatabase(dir.file("a"), `CREATE VIRTUAL TABLE f USING fts5(x); CREATE TABLE "t ""q" (x)`);
  assert.deepEqual(userTables(dir.file("a")), [`t "q`]);
});

Deno.test("runSql returns rows and fails on wrong SQL", async () => {
  await using dir = await makeTempDir();
  await createDatabase(dir.file("a"), "CREATE TABLE t (x)");
  assert.equal(await runSql(dir.file("a"), "INSERT INTO t VALUES (1); SELECT x, 'b' FROM t"), "1|b\n");
  await assert.rejects(runSql(dir.file("a"), "SELECT nonsense"), /nonsense/);
  assert.deepEqual(dumpTable(dir.file("a"), "t"), { columns: ["x"], rows: ["integer 1"] });
});
