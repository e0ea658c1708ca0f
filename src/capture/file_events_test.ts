import assert from "node:assert/strict";
import { createDatabase, runSql } from "../../tests/support/database.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { Database } from "../sqlite/database.ts";
import {
  FileEvents,
  hasPreparedFileEvents,
  holdsLock,
  prepareFileEvents,
  provesHarmless,
  removeWatchFolders,
} from "./file_events.ts";

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

Deno.test("what was prepared for this process is used, and what killed ones have left is removed", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("app.db");
  await createDatabase(path, "PRAGMA journal_mode = WAL; CREATE TABLE t (v)");
  const folders = (): string[] =>
    [...Deno.readDirSync(dir.path)].map(({ name }) => name).filter((name) => name.includes("watch")).sort();
  Deno.mkdirSync(dir.file("app.db-harmonylite.watch"));
  Deno.mkdirSync(dir.file("app.db-harmonylite.watching")); // Not ours.
  for (const process of [1, Deno.pid]) await prepareFileEvents(path, process);
  assert.equal(hasPreparedFileEvents(path), true);
  {
    using events = FileEvents.open(path);
    const own = `app.db-harmonylite.watch-${Deno.pid}`;
    assert.deepEqual(folders(), [own, "app.db-harmonylite.watching"]);
    using database = Database.open(path);
    assert.equal(database.count("SELECT count(*) FROM t"), 0);
    const next = events[Symbol.asyncIterator]().next();
    await runSql(path, "INSERT INTO t VALUES (1)");
    assert.equal((await next).done, false);
    assert.equal(holdsLock(path), true);
  }
  assert.deepEqual(folders(), ["app.db-harmonylite.watching"]);
  await prepareFileEvents(path, 1);
  removeWatchFolders(path);
  assert.deepEqual(folders(), ["app.db-harmonylite.watching"]);
});
