import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { type ClusterNode, startCluster } from "../support/cluster.ts";

const SCHEMA = `CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER, author TEXT);
  CREATE TABLE counter (id INTEGER PRIMARY KEY, value INTEGER);
  CREATE TABLE accounts (id INTEGER PRIMARY KEY, email TEXT UNIQUE, note TEXT);`;

interface ListedConflict {
  readonly id: number;
  readonly key: Readonly<Record<string, string>>;
  readonly row: Readonly<Record<string, string>>;
  readonly overridden: { readonly node: string };
  readonly winner: { readonly node: string };
}

async function endOf(node: ClusterNode, ...words: string[]): Promise<{ code: number; stdout: string }> {
  await using process = node.command(words);
  const code = await process.exited;
  return { code, stdout: process.output.lines.join("\n") };
}

async function conflictsOf(node: ClusterNode): Promise<ListedConflict[]> {
  const { code, stdout } = await endOf(node, "conflicts", "list", "--json");
  assert.equal(code, 0, stdout);
  return JSON.parse(stdout);
}

Deno.test("a row changed on two nodes while NATS is away ends everywhere with the later write; the other can be put back", async () => {
  await using cluster = await startCluster(3, { schema: SCHEMA });
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  await third.sql("INSERT INTO settings VALUES ('a', 0, 'c'), ('b', 0, 'c'), ('d', 0, 'c'), ('e', 0, 'c');");
  await cluster.converge();
  await cluster.nats.kill();
  await first.sql(
    "UPDATE settings SET value = 1, author = 'first' WHERE name = 'a'; DELETE FROM settings WHERE name = 'd';",
  );
  await second.sql(
    "UPDATE settings SET value = 2, author = 'second'; INSERT INTO settings VALUES ('f', 2, 'second');",
  );
  await first.sql(
    `UPDATE settings SET value = 1, author = 'first' WHERE name = 'b'; DELETE FROM settings WHERE name = 'e';
    INSERT INTO settings VALUES ('f', 1, 'first');`,
  );
  await cluster.nats.start();
  await cluster.converge();
  for (const node of cluster.nodes) {
    assert.deepEqual(node.read("SELECT name, author FROM settings ORDER BY name"), [
      ["a", "second"],
      ["b", "first"],
      ["d", "second"], // An update after a delete of the row elsewhere brings it back, whole.
      ["f", "first"],
    ]);
  }

  // Whichever write arrived first, the node whose write stays knows what it was made without having seen.
  const lost = async (node: ClusterNode, name: string): Promise<ListedConflict> =>
    (await conflictsOf(node)).find(({ key }) => key["name"] === `'${name}'`)!;
  const lostByFirst = await lost(second, "a");
  assert.deepEqual(lostByFirst.row, { name: "'a'", value: "1", author: "'first'" });
  assert.deepEqual([lostByFirst.overridden.node, lostByFirst.winner.node], ["1", "2"]);
  assert.equal((await lost(first, "b")).row["author"], "'second'");
  assert.equal((await lost(first, "e")).row["author"], "'second'", "a delete has won over this update");

  assert.equal((await endOf(second, "conflicts", "restore", String(lostByFirst.id))).code, 0);
  const lostBySecond = (await lost(first, "b")).id;
  assert.equal(await first.stop(), 0);
  const restored = await endOf(first, "conflicts", "restore", String(lostBySecond));
  assert.equal(restored.code, 0, restored.stdout);
  assert.equal((await endOf(first, "conflicts", "restore", "999")).code, 1);
  await first.start();
  await cluster.converge();
  for (const node of cluster.nodes) {
    assert.deepEqual(node.read("SELECT name, author FROM settings WHERE name IN ('a', 'b') ORDER BY name"), [
      ["a", "first"],
      ["b", "second"],
    ]);
  }
});

Deno.test("keys swapped, replaced, deleted and written again on two nodes at once end alike everywhere", async () => {
  await using cluster = await startCluster(3, {
    schema: SCHEMA,
    settings: { replication_log: { shards: 2 } },
  });
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  const ids = Array.from({ length: 8 }, (_, at) => at + 1);
  await third.sql(ids.map((id) => `INSERT INTO accounts VALUES (${id}, 'e${id}', 'n${id}');`).join("\n"));
  await third.sql(ids.map((id) => `INSERT INTO counter VALUES (${id}, ${id});`).join("\n"));
  await cluster.converge();
  await cluster.nats.kill();
  await first.sql(`
    BEGIN;
    UPDATE counter SET id = -1 WHERE id = 1; UPDATE counter SET id = 1 WHERE id = 2; UPDATE counter SET id = 2 WHERE id = -1;
    COMMIT;
    DELETE FROM counter WHERE id = 3; INSERT INTO counter VALUES (3, 103);
    DELETE FROM counter WHERE id = 4;
    INSERT OR REPLACE INTO counter VALUES (5, 105);
    INSERT OR REPLACE INTO accounts VALUES (9, 'e1', 'took e1 from 1');
    UPDATE OR REPLACE accounts SET email = 'e2' WHERE id = 3;`);
  await second.sql(`
    UPDATE counter SET value = 201 WHERE id = 1;
    DELETE FROM counter WHERE id = 3;
    DELETE FROM counter WHERE id = 4; INSERT INTO counter VALUES (4, 204);
    DELETE FROM counter WHERE id = 5;
    UPDATE accounts SET note = 'second' WHERE id IN (1, 2);
    INSERT INTO accounts VALUES (10, 'e9', 'second');`);
  await first.sql(
    "UPDATE counter SET value = 301 WHERE id IN (6, 7); INSERT INTO accounts VALUES (11, 'e9', 'first');",
  );
  await cluster.nats.start();
  await cluster.converge();
  // The later write of each key stays, the swap counting as a write of both.
  assert.deepEqual(
    third.read("SELECT id || ' ' || value FROM counter ORDER BY id").join(),
    "1 201,2 1,4 204,6 301,7 301,8 8",
  );
  // Of the keys that claim one email the later arrival stays, which no clock decides.
  assert.deepEqual(third.read("SELECT count(*), count(DISTINCT email) FROM accounts WHERE email = 'e9'"), [[
    1n,
    1n,
  ]]);
  assert.equal(await third.sql("PRAGMA integrity_check;"), "ok\n");
});

Deno.test("a write older than a delete that was forgotten brings the row back, on all nodes alike", async () => {
  const retentionMs = 1_000;
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    settings: { replication_log: { version_retention: retentionMs } },
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO counter VALUES (1, 0), (2, 0);");
  await cluster.converge();
  await second.stop();
  await second.sql("UPDATE counter SET value = 7 WHERE id = 1;");
  await first.sql("DELETE FROM counter WHERE id = 1;");
  await cluster.converge({ nodes: [first] });
  // What is forgotten is told by the times of messages, so real time has to pass.
  await new Promise((resolve) => setTimeout(resolve, 2 * retentionMs));
  await second.start();
  await cluster.converge();
  assert.deepEqual(first.read("SELECT id, value FROM counter ORDER BY id"), [[1n, 7n], [2n, 0n]]);
});

/** Reads one value again and again without a pause, and returns all that it was, in order, repetitions left out. */
async function watchValue(path: string, query: string, isDone: () => boolean): Promise<number[]> {
  using db = new DatabaseSync(path, { readOnly: true, timeout: 10_000 });
  const look = db.prepare(query);
  const seen: number[] = [];
  for (let last = false; !last;) {
    last = isDone(); // One more look after that.
    const value = Number(Object.values(look.get() ?? {})[0] ?? 0);
    if (value !== seen.at(-1)) seen.push(value);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return seen;
}

Deno.test("a reader never sees an older value over a newer one that was written on its node", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO counter VALUES (1, 0);");
  await cluster.converge();
  let done = false;
  const query = "SELECT value FROM counter WHERE id = 1";
  const watching = [first, second].map(({ dbPath }) => watchValue(dbPath, query, () => done));
  const updates = Array.from({ length: 3000 }, (_, i) => `UPDATE counter SET value = ${i + 1} WHERE id = 1;`);
  await first.sql(updates.join("\n"));
  await cluster.converge();
  done = true;
  for (const seen of await Promise.all(watching)) {
    assert.deepEqual(seen, seen.toSorted((a, b) => a - b), "an older value was seen after a newer one");
    assert.equal(seen.at(-1), 3000);
  }
});

Deno.test("an older write of another node does not show when it arrives over a newer one still on its way", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO counter VALUES (1, 0);");
  await cluster.converge();
  await cluster.nats.kill();
  const many = Array.from({ length: 500 }, (_, i) => `UPDATE counter SET value = ${-1 - i} WHERE id = 1;`);
  await second.sql(many.join("\n"));
  await first.sql("UPDATE counter SET value = 7 WHERE id = 1;");
  let done = false;
  const watching = watchValue(first.dbPath, "SELECT value FROM counter WHERE id = 1", () => done);
  await cluster.nats.start();
  await cluster.converge();
  done = true;
  assert.deepEqual(await watching, [7]);
  assert.equal(second.count("SELECT value FROM counter"), 7);
});
