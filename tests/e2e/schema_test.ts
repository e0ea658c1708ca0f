import assert from "node:assert/strict";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";
/** The promise is a second; the machine may be busy. */
const RESUME_MS = 3_000;

/** Writes rows as an application that does not know of schema changes, each in a process of its own. */
async function keepWriting(node: ClusterNode, firstId: number, isDone: () => boolean): Promise<number> {
  let id = firstId;
  while (!isDone()) await node.sql(`INSERT INTO notes (id, text) VALUES (${id++}, 'note');`);
  return id - firstId;
}

Deno.test("a column added on one node pauses the other until it is added there, and nothing is lost", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  let done = false;
  const writing = [keepWriting(first, 1000, () => done), keepWriting(second, 2000, () => done)];
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    done = true;
    await Promise.allSettled(writing);
  });
  await eventually("both replicate", () => second.count("SELECT count(*) FROM notes WHERE id < 2000") > 5);
  await first.sql("ALTER TABLE notes ADD COLUMN stars INTEGER DEFAULT 5;");
  await first.sql(
    "INSERT INTO notes VALUES (1, 'with stars', 3); UPDATE notes SET stars = 4 WHERE id = 1000;",
  );
  await second.process.waitForLog("schema_mismatch_paused");
  assert.equal(second.count("SELECT count(*) FROM notes WHERE id = 1"), 0);
  // The way back is open: an event without the new column leaves it as it is.
  const before = first.count("SELECT count(*) FROM notes WHERE id >= 2000");
  await eventually(
    "the first node goes on receiving",
    () => first.count("SELECT count(*) FROM notes WHERE id >= 2000") > before + 5,
  );
  await second.sql("ALTER TABLE notes ADD COLUMN stars INTEGER DEFAULT 5;");
  await eventually(
    "the second node goes on",
    () => second.count("SELECT count(*) FROM notes WHERE id = 1") === 1,
    {
      timeoutMs: RESUME_MS,
    },
  );
  done = true;
  const written = (await Promise.all(writing)).reduce((a, b) => a + b);
  await second.process.waitForLog("Schema matches again");
  await cluster.converge();
  for (const node of cluster.nodes) assert.equal(node.count("SELECT count(*) FROM notes"), written + 1);
  assert.deepEqual(second.read("SELECT stars FROM notes WHERE id IN (1, 1000) ORDER BY id").flat(), [3n, 4n]);
});

Deno.test("a table created while nodes run is followed as soon as both have it", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  const create = "CREATE TABLE tags (name TEXT PRIMARY KEY, weight REAL);";
  await first.sql(create);
  await first.process.waitForLog(/Triggers installed .*tags/);
  await first.sql("INSERT INTO tags VALUES ('new', 1.5); INSERT INTO notes VALUES (1, 'after it');");
  await second.process.waitForLog("schema_mismatch_paused");
  await second.sql(create);
  await eventually("the row is there", () => second.count("SELECT count(*) FROM tags") === 1, {
    timeoutMs: RESUME_MS,
  });
  await second.process.waitForLog(/Triggers installed .*tags/);
  await second.sql("UPDATE tags SET weight = 2;");
  await cluster.converge();
  assert.deepEqual(first.read("SELECT weight FROM tags"), [[2]]);
});

Deno.test("a paused node that is restarted still waits, sends its own changes, and goes on after its ALTER TABLE", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("ALTER TABLE notes ADD COLUMN stars INTEGER; INSERT INTO notes VALUES (1, 'a', 1);");
  await first.process.waitForLog(/Triggers installed/);
  await first.sql("UPDATE notes SET stars = 2;");
  await second.process.waitForLog("schema_mismatch_paused");
  await second.kill();
  await second.sql("INSERT INTO notes VALUES (2, 'b');");
  await second.start();
  await second.process.waitForLog("schema_mismatch_paused");
  await eventually("its own row is sent", () => first.count("SELECT count(*) FROM notes WHERE id = 2") === 1);
  await second.sql("ALTER TABLE notes ADD COLUMN stars INTEGER;");
  await cluster.converge();
  assert.deepEqual(second.read("SELECT id, stars FROM notes ORDER BY id"), [[1n, 2n], [2n, null]]);
});

Deno.test("a column that one node has dropped is left out there, and replication goes on", async () => {
  await using cluster = await startCluster(2, {
    schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text, old);",
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO notes VALUES (1, 'a', 'x');");
  await cluster.converge();
  assert.equal(await second.stop(), 0);
  await second.start();
  await second.command(["cleanup"]).exited;
  await second.sql("ALTER TABLE notes DROP COLUMN old;");
  await second.start();
  await first.sql("INSERT INTO notes VALUES (2, 'b', 'y'); UPDATE notes SET text = 'c' WHERE id = 1;");
  await eventually(
    "the rows arrive",
    () => assert.deepEqual(second.read("SELECT id, text FROM notes ORDER BY id"), [[1n, "c"], [2n, "b"]]),
  );
});
