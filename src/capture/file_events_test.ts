import assert from "node:assert/strict";
import { createDatabase, runSql } from "../../tests/support/database.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { Database } from "../sqlite/database.ts";
import { FileEvents, holdsLock, provesHarmless } from "./file_events.ts";

Deno.test("a write by another process is noticed, and SQLite keeps its locks", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("app.db");
  await createDatabase(path, "PRAGMA journal_mode = WAL; CREATE TABLE t (v)");
  using events = FileEvents.open(path);
  using database = Database.open(path);
  assert.equal(database.count("SELECT count(*) FROM t"), 0);
  const next = events[Symbol.asyncIterator]().next();
  await runSql(path, "INSERT INTO t VALUES (1)");
  assert.equal((await next).done, false);
  assert.equal(database.count("SELECT count(*) FROM t"), 1);
  assert.equal(holdsLock(path), true);
});

Deno.test("what watching the folder itself would do is noticed by the proof's own test", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("app.db");
  await createDatabase(path, "PRAGMA journal_mode = WAL; CREATE TABLE t (v)");
  using database = Database.open(path);
  assert.equal(database.count("SELECT count(*) FROM t"), 0);
  assert.equal(holdsLock(path), true);
  // As Deno's watcher does for each event: opening and closing the file drops the locks of this process on it.
  Deno.openSync(path).close();
  assert.equal(holdsLock(path), false);
});

Deno.test("this runtime is proved to leave locks alone, so file events are used", async () => {
  assert.equal(await provesHarmless(), Deno.build.os === "linux");
});
