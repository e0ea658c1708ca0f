import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";

const USERS = `CREATE TABLE t (id INTEGER PRIMARY KEY, u, e TEXT, active INTEGER DEFAULT 1);
  CREATE UNIQUE INDEX by_u ON t (u);
  CREATE UNIQUE INDEX by_e ON t (lower(e)) WHERE active = 1;
  INSERT INTO t VALUES (1, 1, 'one', 1), (2, 2, 'two', 1), (3, 3, 'three', 1);`;

/** What is captured when the application runs `sql` on three rows. */
async function captured(sql: string): Promise<string[]> {
  await using lab = await CoreLab.open(USERS);
  try {
    lab.run(sql);
  } catch (error) {
    assert.match(String(error), /constraint failed/);
  }
  return lab.captured("t", "id", "u");
}

Deno.test("REPLACE is logged with the row it removes on another UNIQUE index", async () => {
  assert.deepEqual(await captured("INSERT OR REPLACE INTO t VALUES (9, 1, 'nine', 1)"), [
    "delete|1|NULL",
    "insert|9|1",
  ]);
});

Deno.test("REPLACE is logged with victims of several indexes, each once", async () => {
  const changes = await captured("INSERT OR REPLACE INTO t VALUES (9, 1, 'TWO', 1)");
  assert.deepEqual(changes.toSorted(), ["delete|1|NULL", "delete|2|NULL", "insert|9|1"]);
  assert.equal(changes.at(-1), "insert|9|1");
});

Deno.test("REPLACE removes nothing on a partial index that does not hold the new row", async () => {
  assert.deepEqual(await captured("INSERT OR REPLACE INTO t VALUES (9, 9, 'one', 0)"), ["insert|9|9"]);
});

Deno.test("REPLACE of a row by itself logs no delete", async () => {
  assert.deepEqual(await captured("INSERT OR REPLACE INTO t VALUES (1, 1, 'one', 1)"), ["insert|1|1"]);
});

Deno.test("UPDATE OR REPLACE is logged with its victim", async () => {
  assert.deepEqual(await captured("UPDATE OR REPLACE t SET u = 2 WHERE id = 1"), [
    "delete|2|NULL",
    "update|1|2",
  ]);
});

Deno.test("a victim is older than the row that replaced it", async () => {
  await using lab = await CoreLab.open(USERS);
  lab.run("INSERT OR REPLACE INTO t VALUES (9, 1, 'nine', 1)");
  assert.deepEqual(
    lab.lines(`SELECT type FROM "__harmonylite__t_change_log" ORDER BY ts`),
    ["'delete'", "'insert'"],
  );
});

Deno.test("OR IGNORE and a failed statement log nothing, and their notes do no harm later", async () => {
  for (
    const sql of [
      "INSERT OR IGNORE INTO t VALUES (9, 1, 'nine', 1)",
      "INSERT INTO t VALUES (9, 1, 'nine', 1)",
    ]
  ) {
    assert.deepEqual(await captured(sql), []);
    assert.deepEqual(
      await captured(`${sql}; INSERT INTO t VALUES (8, 8, 'eight', 1)`),
      sql.includes("IGNORE") ? ["insert|8|8"] : [],
    );
  }
});

Deno.test("a note that OR IGNORE left does not delete a row that goes later and comes back elsewhere", async () => {
  await using lab = await CoreLab.open(USERS);
  lab.run("INSERT OR IGNORE INTO t VALUES (9, 1, 'nine', 1); DELETE FROM t WHERE id = 1");
  const before = lab.captured("t", "id").length;
  lab.run("INSERT INTO t VALUES (8, 8, 'eight', 1)");
  assert.deepEqual(lab.captured("t", "id").slice(before), ["insert|8"]);
});

Deno.test("an upsert on one index that clashes on none logs an update", async () => {
  assert.deepEqual(
    await captured("INSERT INTO t VALUES (9, 1, 'x', 1) ON CONFLICT (u) DO UPDATE SET e = 'upserted'"),
    ["update|1|1"],
  );
});

Deno.test("REPLACE in a table whose index and columns have awkward names", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE "a.b" ("the key" TEXT PRIMARY KEY, "old" TEXT, "new" TEXT, "row" TEXT);
     CREATE UNIQUE INDEX "i""x" ON "a.b" ("old" COLLATE NOCASE DESC, substr("row", 1, 1)) WHERE "new" IS NOT NULL`,
  );
  lab.run(`INSERT INTO "a.b" VALUES ('k1', 'A', 'n', 'xa')`);
  lab.run(`INSERT OR REPLACE INTO "a.b" VALUES ('k2', 'a', 'n', 'xb')`);
  assert.deepEqual(lab.captured("a.b", "the key"), ["insert|k1", "delete|k1", "insert|k2"]);
});

Deno.test("UPDATE OR REPLACE is logged with its victim on generated columns, whose sources it does not name", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, g AS (a || h) UNIQUE, h AS (b) STORED);
     INSERT INTO t (id, a, b) VALUES (1, 'p', 'q'), (2, 'x', 'q')`,
  );
  lab.run("UPDATE OR REPLACE t SET a = 'p' WHERE id = 2");
  assert.deepEqual(lab.captured("t", "id"), ["delete|1", "update|2"]);
});
