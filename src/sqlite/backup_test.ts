import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { eventually } from "../../tests/support/eventually.ts";
import { startProcess } from "../../tests/support/process.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import type { Progress } from "./backup.ts";
import { Database } from "./database.ts";

const MEGABYTES = 24;

function fill(path: string, mode: string): void {
  using db = new DatabaseSync(path);
  db.exec(
    `PRAGMA journal_mode = ${mode}; CREATE TABLE blobs (id INTEGER PRIMARY KEY, data BLOB);
     CREATE TABLE written (a, b);
     WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ${MEGABYTES})
     INSERT INTO blobs SELECT id, randomblob(1 << 20) FROM n;`,
  );
}

function valuesOf(path: string, ...queries: string[]): unknown[] {
  using db = new DatabaseSync(path);
  return queries.map((query) => Object.values(db.prepare(query).get() ?? {})[0]);
}

/** Writes two equal values in each transaction, one transaction after the other, until it is killed; ends at an error. */
const WRITER = `
  import { DatabaseSync } from "node:sqlite";
  const db = new DatabaseSync(Deno.args[0], { timeout: 60000 });
  console.log("writing");
  for (let n = 0; ; n++) db.exec("BEGIN IMMEDIATE; INSERT INTO written VALUES (" + n + ", 0); UPDATE written SET b = a; COMMIT");`;

for (const mode of ["wal", "delete"]) {
  Deno.test(`a backup ends beside a process that writes without pause, with journal_mode = ${mode}`, async () => {
    await using folder = await makeTempDir();
    const [path, copy, program] = [folder.file("app.db"), folder.file("copy.db"), folder.file("writer.js")];
    fill(path, mode);
    await Deno.writeTextFile(program, WRITER);
    const args = ["run", "-A", "--no-config", "--no-lock", program, path];
    await using writer = startProcess({ name: "writer", command: Deno.execPath(), args });
    await writer.waitForLog("writing");
    const progress: Progress[] = [];
    using database = Database.open(path);
    let written = 0;
    const isWriting = (): boolean => Number(valuesOf(path, "SELECT count(*) FROM written")[0]) > written;
    for (let round = 0; round < 3; round++) {
      // With a rollback journal it waits while we copy, and may look but ten times a second whether we have ended.
      await eventually("the writer goes on", isWriting);
      await database.backupTo(copy, { onProgress: (each) => progress.push(each) });
      const [check, blobs, torn, count, kept] = valuesOf(
        copy,
        "PRAGMA integrity_check",
        "SELECT count(*) FROM blobs",
        "SELECT count(*) FROM written WHERE a <> b",
        "SELECT count(*) FROM written",
        "PRAGMA journal_mode",
      );
      assert.deepEqual([check, blobs, torn, kept], ["ok", MEGABYTES, 0, mode]);
      assert.ok(Number(count) > written, "the writer went on");
      written = Number(count);
    }
    assert.ok(writer.running, writer.log.tail());
    assert.ok(progress.every(({ done, total }) => done <= total));
    assert.equal(
      progress.filter(({ done, total }) => done < total).length > 3 * 4,
      true,
      "it is told on the way",
    );
  });
}

Deno.test("the event loop goes on while a database is copied", async () => {
  await using folder = await makeTempDir();
  fill(folder.file("app.db"), "wal");
  using database = Database.open(folder.file("app.db"));
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  let turnsAtFirst: number | undefined;
  await database.backupTo(folder.file("copy.db"), { onProgress: () => turnsAtFirst ??= turns });
  clearInterval(timer);
  assert.ok(turns > turnsAtFirst!, "it stood still from the first news to the last");
});

Deno.test("a backup that is aborted ends with the signal's reason and holds no lock", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  fill(path, "delete");
  using database = Database.open(path);
  const copy = (signal: AbortSignal, onProgress?: () => void): Promise<void> =>
    database.backupTo(folder.file("copy.db"), { signal, ...onProgress && { onProgress } });
  await assert.rejects(copy(AbortSignal.abort(new Error("too late"))), /too late/);
  const abort = new AbortController();
  await assert.rejects(
    copy(abort.signal, () => abort.abort(new Error("no more interest"))),
    /no more interest/,
  );
  await database.write(() => database.exec("DELETE FROM blobs"));
  await copy(new AbortController().signal);
  assert.deepEqual(valuesOf(folder.file("copy.db"), "SELECT count(*) FROM blobs"), [0]);
});

Deno.test("a backup that cannot be written says where", async () => {
  await using folder = await makeTempDir();
  fill(folder.file("app.db"), "wal");
  using database = Database.open(folder.file("app.db"));
  await assert.rejects(database.backupTo(folder.file("nowhere/copy.db")), {
    code: "BACKUP_FAILED",
    message: /Cannot copy the database ".*app\.db": .*unable to open/,
    hint: /nowhere/,
  });
});
