import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { createDatabase, runSql } from "../../tests/support/database.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { Database } from "../sqlite/database.ts";
import { type FileCondition, judgeFile, rebuildIndexes, replaceFile } from "./whole_file.ts";

const { signal } = new AbortController();

/** Writes into the schema behind SQLite's back. */
function forge(path: string, sql: string): Promise<string> {
  return runSql(path, `PRAGMA writable_schema = ON; ${sql}`);
}

function judge(path: string): Promise<FileCondition> {
  return judgeFile(path, { isThorough: true, signal });
}

Deno.test("indexes that do not fit their tables are found by a thorough look, and are built anew", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("app.db");
  await createDatabase(
    path,
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 'a', 'b'), (2, 'c', 'c');
     CREATE INDEX on_a ON t (a); CREATE INDEX on_b ON t (b);`,
  );
  assert.equal(await judge(path), "sound");
  const both = "name IN ('on_a', 'on_b')";
  const sum = `(SELECT sum(rootpage) FROM sqlite_schema WHERE ${both})`;
  await forge(path, `UPDATE sqlite_schema SET rootpage = ${sum} - rootpage WHERE ${both};`);
  assert.equal(await judgeFile(path, { isThorough: false, signal }), "sound");
  assert.equal(await judge(path), "misindexed");
  assert.equal(await rebuildIndexes(path, signal), true);
  assert.equal(await runSql(path, "SELECT id FROM t INDEXED BY on_a WHERE a = 'a'"), "1\n");
});

Deno.test("an index that cannot be built from its rows is a broken file", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("app.db");
  await createDatabase(path, "CREATE TABLE t (a); CREATE INDEX i ON t (a); INSERT INTO t VALUES (1), (1);");
  await forge(path, "UPDATE sqlite_schema SET sql = 'CREATE UNIQUE INDEX i ON t (a)' WHERE name = 'i';");
  assert.equal(await judge(path), "misindexed");
  assert.equal(await rebuildIndexes(path, signal), false);
});

Deno.test("a row that breaks a constraint is no damage, nor is a collation that only the application has", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("app.db");
  await createDatabase(
    path,
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, NULL, 1);
     CREATE TABLE named (k TEXT COLLATE NOCASE PRIMARY KEY); INSERT INTO named VALUES ('a');`,
  );
  await forge(
    path,
    `UPDATE sqlite_schema SET sql = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a NOT NULL, b CHECK (b > 1))'
     WHERE name = 't';`,
  );
  assert.equal(await judge(path), "sound");
  await forge(path, "UPDATE sqlite_schema SET sql = replace(sql, 'NOCASE', 'application');");
  assert.equal(await judge(path), "sound");
});

Deno.test("what a removed database has left beside its place does not come back into the new one", async () => {
  await using dir = await makeTempDir();
  for (const mode of ["WAL", "DELETE"]) {
    const [old, snapshot, path] = [dir.file(`old-${mode}`), dir.file(`new-${mode}`), dir.file(`app-${mode}`)];
    const schema = `PRAGMA journal_mode = ${mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, v);`;
    await runSql(old, `${schema} INSERT INTO t VALUES (1, 'old');`);
    await runSql(snapshot, `${schema} INSERT INTO t VALUES (2, 'new');`);
    using application = Database.open(old);
    // A cache this small is written to the files in the middle of a transaction.
    application.exec("PRAGMA cache_size = 1; BEGIN");
    for (let id = 10; id < 100; id++) application.run("INSERT INTO t VALUES (?, zeroblob(4000))", BigInt(id));
    if (mode === "WAL") application.exec("COMMIT");
    const left = mode === "WAL" ? ["-wal", "-shm"] : ["-journal"];
    for (const end of left) await Deno.copyFile(old + end, path + end);
    await replaceFile(path, snapshot, { condition: "missing", signal });
    assert.equal(await runSql(path, "SELECT * FROM t; PRAGMA integrity_check"), "2|new\nok\n", mode);
  }
});
Deno.test("the database that takes the place of a broken one is as open as that was", async () => {
  await using folder = await makeTempDir();
  const [path, snapshot] = [folder.file("app.db"), folder.file("snapshot.db")];
  using db = new DatabaseSync(snapshot);
  db.exec("CREATE TABLE t (id); INSERT INTO t VALUES (7)");
  for (const mode of [0o600, 0o660]) {
    await Deno.writeTextFile(path, "SQLite format 3, but not for long");
    await Deno.chmod(path, mode);
    const aside = await replaceFile(path, snapshot, { condition: "broken", signal });
    assert.equal(Deno.statSync(path).mode! & 0o777, mode);
    assert.match(Deno.readTextFileSync(aside!), /not for long/);
    using restored = new DatabaseSync(path);
    assert.deepEqual({ ...restored.prepare("SELECT * FROM t").get() }, { id: 7 });
    restored.close();
    await Deno.remove(aside!);
  }
});

Deno.test("an application in the group of the service can write to a database that was restored in the place of none", async () => {
  await using folder = await makeTempDir();
  const snapshot = folder.file("snapshot.db");
  await createDatabase(snapshot, "CREATE TABLE t (id);");
  const before = Deno.umask(0o007); // As the unit for systemd has it.
  try {
    await replaceFile(folder.file("app.db"), snapshot, { condition: "missing", signal });
    assert.equal(Deno.statSync(folder.file("app.db")).mode! & 0o777, 0o660);
    Deno.umask(0o077);
    await replaceFile(folder.file("private.db"), snapshot, { condition: "missing", signal });
    assert.equal(Deno.statSync(folder.file("private.db")).mode! & 0o777, 0o600);
  } finally {
    Deno.umask(before);
  }
});
