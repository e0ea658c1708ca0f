import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { CoreLab, LAB_NODE } from "../../tests/support/core_lab.ts";
import { eventually } from "../../tests/support/eventually.ts";
import { lockPath } from "../capture/process_lock.ts";
import { readClock } from "../capture/trigger_sql.ts";
import { oldestUnsent } from "../capture/unsent.ts";
import { markPublished } from "../publish/acknowledgement.ts";
import { listOwn } from "../schema/own_tables.ts";
import { Database } from "../sqlite/database.ts";
import type { SnapshotFacts } from "./manifest.ts";
import { type TakeOptions, takeSnapshot } from "./take.ts";
import { workingCopyPath } from "./working_copy.ts";

const SCHEMA = `CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);
  CREATE TABLE "odd ""name" (k TEXT UNIQUE, v);
  CREATE TABLE keyless (a, b);
  CREATE TABLE nulls (k TEXT PRIMARY KEY, v);
  CREATE TABLE left_out (id INTEGER PRIMARY KEY);
  CREATE TRIGGER users AFTER DELETE ON notes BEGIN INSERT INTO keyless VALUES (old.id, 'gone'); END;
  CREATE INDEX by_text ON notes (text);`;

/** A snapshot in the making: what would be put into the store, looked at while it is there. */
interface Taken {
  readonly facts: SnapshotFacts;
  readonly files: string[];
  readonly mode: number;
  readonly path: string;
}

async function take(
  lab: CoreLab,
  look: (taken: Taken) => void | Promise<void> = () => {},
  options: Partial<TakeOptions> = {},
): Promise<void> {
  using database = Database.open(lab.path, { readOnly: true });
  await takeSnapshot({
    database,
    filter: { include: [], exclude: ["left_out"] },
    node: LAB_NODE,
    signal: new AbortController().signal,
    now: Date.now,
    add: async (path, facts) => {
      await look({ path, facts, files: beside(lab), mode: Deno.statSync(path).mode! & 0o777 });
      return { ...facts, name: "snapshot", size: 1, sha256: undefined };
    },
    ...options,
  });
}

/** What is pending is stored, and comes back. */
async function send(lab: CoreLab): Promise<void> {
  for (const { batch, changes, shard } of await lab.read()) {
    const messages = batch.parts.map((part) => lab.messageOfPart(part));
    await markPublished(lab.database, lab.schema, changes, { shard, sequence: messages.at(-1)!.sequence });
    await lab.applyAll(messages);
  }
  lab.rounds.release();
}

function beside(lab: CoreLab): string[] {
  const names = [...Deno.readDirSync(lab.path.replace(/\/[^/]*$/, ""))].map(({ name }) => name).sort();
  return names.filter((name) => !/^lab\.db(-wal|-shm|-journal)?$/.test(name) && !name.endsWith(".lock"));
}

function lines(path: string, query: string): string[] {
  using db = new DatabaseSync(path);
  const statement = db.prepare(query);
  statement.setReadBigInts(true);
  return statement.all().map((row) => Object.values(row).join("|"));
}

Deno.test("no snapshot is taken while what a lost stream has held is being queued", async () => {
  await using lab = await openLab();
  lab.run(
    `INSERT INTO "__harmonylite___position" (stream, shard, created, sequence, time) VALUES ('lab-1', 1, '', 0, 0)`,
  );
  await assert.rejects(
    () => take(lab),
    /Failed to create snapshot: stream "lab-1" was recreated, and this node is starting over/,
  );
  assert.deepEqual(beside(lab), []);
});

async function openLab(): Promise<CoreLab> {
  return await CoreLab.open(SCHEMA, { filter: { include: [], exclude: ["left_out"] } });
}

Deno.test("a snapshot is the application's database with versions, positions and clock, and nothing of capture", async () => {
  await using lab = await openLab();
  lab.run(`INSERT INTO notes VALUES (1, 'a'), (2, 'b'); DELETE FROM notes WHERE id = 2;
    INSERT INTO "odd ""name" VALUES ('k', 1.5); INSERT INTO nulls VALUES (NULL, 1), ('x', 2);
    INSERT INTO left_out VALUES (1);`);
  await send(lab);
  await lab.receive({ table: "notes", type: "insert", row: { id: 3n, text: "from afar" }, ts: 5n << 60n });
  const before = Date.now();
  await take(lab, ({ path, facts, files, mode }) => {
    assert.deepEqual(files, ["lab.db-harmonylite.snapshot"], "it is closed, with nothing left to be written");
    assert.equal(mode, 0o600);
    assert.equal(facts.node, LAB_NODE);
    assert.equal(facts.schema, lab.schema.current.hash);
    assert.ok(facts.timeMs >= before && facts.timeMs <= Date.now());
    assert.deepEqual(facts.positions, [lab.position]);
    assert.deepEqual(lines(path, "SELECT * FROM notes"), ["1|a", "3|from afar"]);
    assert.deepEqual(lines(path, "PRAGMA journal_mode"), ["wal"]);
    assert.deepEqual(lines(path, "PRAGMA integrity_check"), ["ok"]);
    const own =
      "SELECT type || ' ' || name FROM sqlite_schema WHERE name LIKE '\\_\\_harmonylite%' ESCAPE '\\' AND type <> 'index' ORDER BY 1";
    assert.deepEqual(lines(path, own), [
      "table __harmonylite___batch",
      "table __harmonylite___clock",
      "table __harmonylite___finished_batch",
      "table __harmonylite___part",
      "table __harmonylite___position",
      "table __harmonylite__keyless_row_version",
      "table __harmonylite__notes_row_version",
      "table __harmonylite__nulls_row_version",
      "table __harmonylite__nulls_row_version_null",
      'table __harmonylite__odd "name_row_version',
      "table __harmonylite__schema_version",
    ]);
    const others =
      "SELECT name FROM sqlite_schema WHERE name NOT LIKE '\\_\\_harmony%' ESCAPE '\\' AND sql IS NOT NULL AND name <> 'sqlite_sequence' ORDER BY 1";
    const keeper = "__harmonylite__keyless_keeps_rowid";
    assert.ok(lines(lab.path, "SELECT name FROM sqlite_schema").includes(keeper));
    assert.ok(!lines(path, "SELECT name FROM sqlite_schema").includes(keeper));
    assert.deepEqual(lines(path, others), lines(lab.path, others));
    const versions = "SELECT * FROM __harmonylite__notes_row_version";
    assert.deepEqual(lines(path, versions), lines(lab.path, versions));
  });
  assert.deepEqual(beside(lab), []);
  assert.ok(listOwn(lab.database, "trigger").length > 0, "the database itself is as it was");
});

Deno.test("what was removed from a snapshot cannot be found in its bytes", async () => {
  await using lab = await openLab();
  const secret = "an image of a row that was deleted";
  lab.run(`INSERT INTO __harmonylite___conflict_log (row) VALUES ('${secret.repeat(500)}');`);
  lab.run("PRAGMA wal_checkpoint(TRUNCATE)");
  assert.ok(Deno.readTextFileSync(lab.path).includes(secret), "it is in the database itself");
  await take(lab, ({ path }) => assert.ok(!Deno.readTextFileSync(path).includes(secret)));
});

Deno.test("a rollback journal stays one", async () => {
  await using lab = await openLab();
  lab.database.close();
  lab.reader.close();
  lab.run("PRAGMA journal_mode = DELETE");
  await take(lab, ({ path }) => assert.deepEqual(lines(path, "PRAGMA journal_mode"), ["delete"]));
});

Deno.test("a snapshot counts only when all that it holds is in the streams, not what came later", async () => {
  await using lab = await openLab();
  lab.run("INSERT INTO notes VALUES (1, 'pending');");
  let isAdded = false;
  const phases: string[] = [];
  const taking = take(lab, ({ path }) => {
    isAdded = true;
    assert.deepEqual(lines(path, "SELECT id FROM notes"), ["1"]);
  }, { onProgress: (phase) => phases.push(phase) });
  await eventually("it waits", () => phases.includes("sending"));
  lab.run("INSERT INTO notes VALUES (2, 'later');");
  assert.ok(!isAdded);
  // The ids of the global log begin anew when it is empty; that of the later change takes the place of the first one.
  await send(lab);
  lab.run("DELETE FROM notes WHERE id = 2; INSERT INTO notes VALUES (3, 'pending for ever');");
  await taking;
  assert.ok(isAdded);
  assert.deepEqual([...new Set(phases)], ["copying", "sending"]);
});

Deno.test("a change that is refused for good, or of a table that is not followed any more, is not waited for", async () => {
  await using lab = await openLab();
  lab.run(`INSERT INTO notes VALUES (1, 'refused');
    UPDATE __harmonylite__notes_change_log SET state = -1;
    INSERT INTO "__harmonylite___global_change_log" (change_table_id, table_name) VALUES (1, 'left_out'), (1, 'dropped');`);
  await take(lab);
});

Deno.test("the oldest change that is unsent is told for the tables that are followed, up to a moment", async () => {
  await using lab = await openLab();
  const oldest = (exclude: string[], ts = readClock(lab.database)): bigint | undefined =>
    oldestUnsent(lab.database, { include: [], exclude }, ts);
  assert.equal(oldest([]), undefined);
  lab.run("INSERT INTO nulls VALUES ('x', 1);");
  const then = readClock(lab.database);
  lab.run("INSERT INTO notes VALUES (1, 'a'); UPDATE notes SET text = 'b';");
  assert.deepEqual([oldest([]), oldest(["nulls"]), oldest(["nulls", "notes"])], [1n, 2n, undefined]);
  assert.deepEqual([oldest([], then), oldest(["nulls"], then)], [1n, undefined]);
  await send(lab);
  assert.equal(oldest([]), undefined);
});

Deno.test("a snapshot is given up with a reason when nothing is sent", async () => {
  await using lab = await openLab();
  lab.run("INSERT INTO notes VALUES (1, 'pending');");
  await assert.rejects(take(lab, () => assert.fail("it was put"), { sendTimeoutMs: 300 }), {
    name: "SnapshotError",
    message: /^Failed to create snapshot: changes that are in the copy are in no stream yet/,
    hint: /NATS/,
  });
  assert.deepEqual(beside(lab), []);
});

Deno.test("a store that fails is told from a copy that cannot be made, and nothing is left", async () => {
  await using lab = await openLab();
  const failing = take(lab, () => {
    throw new Error("the store is full");
  });
  await assert.rejects(failing, { message: "Failed to upload snapshot: the store is full" });
  assert.deepEqual(beside(lab), []);
  const abort = new AbortController();
  const aborted = take(lab, () => abort.abort(new Error("stop")), { signal: abort.signal });
  await aborted;
  await assert.rejects(take(lab, undefined, { signal: abort.signal }), { message: "stop" });
  lab.run("INSERT INTO notes VALUES (1, 'pending');");
  const later = AbortSignal.timeout(500);
  await assert.rejects(take(lab, undefined, { signal: later }), { name: "TimeoutError" });
  assert.deepEqual(beside(lab), []);
  Deno.removeSync(lockPath(workingCopyPath(lab.path)));
  Deno.mkdirSync(lockPath(workingCopyPath(lab.path)));
  await assert.rejects(take(lab), { message: /^Failed to create snapshot: Cannot open the lock file/ });
});

Deno.test("a copy that falls between a change of the schema and its triggers is made anew", async () => {
  await using lab = await openLab();
  lab.run("ALTER TABLE notes RENAME COLUMN text TO words; CREATE TABLE more (id INTEGER PRIMARY KEY);");
  let copies = 0;
  const taking = take(lab, ({ path, facts }) => {
    assert.equal(facts.schema, lab.schema.current.hash);
    const renamed =
      "SELECT renamed FROM __harmonylite__schema_version WHERE table_name = 'notes' ORDER BY id DESC LIMIT 1";
    assert.deepEqual(lines(path, renamed), ['[["text","words"]]']);
  }, { onProgress: (phase, { done, total }) => copies += phase === "copying" && done === total ? 1 : 0 });
  await eventually("it was copied", () => copies > 0);
  await lab.schema.refresh();
  await taking;
  assert.ok(copies > 1, "once more");
});

Deno.test("one snapshot is taken of a database at a time, and what a killed process left goes", async () => {
  await using lab = await openLab();
  const left = ["", "-wal", "-shm", "-journal"].map((suffix) => workingCopyPath(lab.path) + suffix);
  for (const path of left) Deno.writeTextFileSync(path, "left over");
  let inside = 0;
  const one = (): Promise<void> =>
    take(lab, async () => {
      assert.equal(++inside, 1);
      await new Promise((resolve) => setTimeout(resolve, 50));
      inside--;
    });
  await Promise.all([one(), one(), one()]);
  assert.deepEqual(beside(lab), []);
});
