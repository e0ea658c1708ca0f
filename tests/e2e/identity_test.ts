import assert from "node:assert/strict";
import { type Cluster, type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import type { NodeOptions } from "../support/node_process.ts";

const SCHEMA = `CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);
  CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE);`;
const DOUBLED = "Two nodes run with the same node_id";
const COPIED = "This database belonged to another node so far";
const FOREIGN = "A change carries the id of this node, but was not made in this database";
const DOUBLED_TIMEOUT_MS = 60_000;

/** Another folder for a node's configuration and files, so that its id may be that of another. */
function apart(cluster: Cluster, nodeId: number): Partial<NodeOptions> {
  const dir = `${cluster.dir}/apart-${nodeId}`;
  Deno.mkdirSync(dir, { recursive: true });
  return { dir, nodeId };
}

/** Puts a copy of a database, as SQLite makes it, in the place of another; nobody may have that one open. */
async function putCopy(from: ClusterNode, path: string): Promise<void> {
  for (const end of ["", "-wal", "-shm"]) {
    await Deno.remove(`${path}${end}`).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
  await from.sql(`VACUUM INTO '${path}';`);
}

async function expectEverywhere(cluster: Cluster, query: string, expected: string): Promise<void> {
  await cluster.converge();
  for (const node of cluster.nodes) assert.equal(node.read(query).flat().join(), expected);
}

Deno.test("two nodes with one id go on, lose nothing, and both say who the other is; a restart alone is no second node", async () => {
  await using cluster = await startCluster(3, { schema: SCHEMA, choose: (id) => ({ started: id !== 2 }) });
  const [first, twin] = [cluster.node(1), cluster.node(2)];
  await first.kill();
  await first.start();
  await twin.start(apart(cluster, 1));
  const both = [first, twin];
  for (let round = 0; round < 5; round++) {
    await Promise.all(
      both.map((node, at) =>
        node.sql(`INSERT INTO notes VALUES (${10 * round + at}, 'of ${at}');
        INSERT INTO notes VALUES (1000, 'of ${at}') ON CONFLICT DO UPDATE SET text = 'of ${at}, round ${round}';
        INSERT OR REPLACE INTO users VALUES (${10 * round + at}, 'round ${round}');`)
      ),
    );
  }
  await cluster.converge();
  assert.equal(first.count("SELECT count(*) FROM notes"), 11);
  assert.equal(first.count("SELECT count(*) FROM users"), 5);
  await first.process.waitForLog(DOUBLED, { timeoutMs: DOUBLED_TIMEOUT_MS });
  await twin.process.waitForLog(DOUBLED, { timeoutMs: DOUBLED_TIMEOUT_MS });
  for (const [here, there] of [[first, twin], [twin, first]] as const) {
    const line = here.process.log.lines.find((each) => each.includes(DOUBLED))!;
    assert.match(line, /ERROR/);
    for (const word of ["node=1", Deno.hostname(), here.dbPath, there.dbPath]) {
      assert.ok(line.includes(word), line);
    }
  }
  // Given an id of its own the twin is one of three, and says where its database comes from.
  assert.equal(await twin.stop(), 0);
  await twin.start();
  await twin.process.waitForLog(COPIED);
  await twin.sql("UPDATE notes SET text = 'of node 2' WHERE id = 1000;");
  await expectEverywhere(cluster, "SELECT text FROM notes WHERE id = 1000", "of node 2");
  assert.ok(!cluster.node(3).process.log.has(DOUBLED));
});

Deno.test("last week's copy of the database put back: nothing is lost, no id or clock that is used again matters", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO notes VALUES (1, 'old'), (2, 'old'), (3, 'old');");
  await cluster.converge();
  const copy = `${cluster.dir}/last-week.db`;
  await first.sql(`VACUUM INTO '${copy}';`);
  await first.sql(`UPDATE notes SET text = 'newer' WHERE id = 1; DELETE FROM notes WHERE id = 2;
    INSERT INTO notes VALUES (4, 'newer');`);
  await second.sql("UPDATE notes SET text = 'of 2' WHERE id = 3;");
  await cluster.converge();
  assert.equal(await first.stop(), 0);
  for (const end of ["-wal", "-shm"]) assert.throws(() => Deno.statSync(`${first.dbPath}${end}`));
  await Deno.copyFile(copy, first.dbPath);
  // The change log starts where it was: these get ids that others had.
  await first.sql("INSERT INTO notes VALUES (5, 'written to the copy'), (6, 'written to the copy');");
  await first.start();
  await first.process.waitForLog(FOREIGN);
  await first.sql("INSERT INTO notes VALUES (7, 'after');");
  const expected = "1 newer,3 of 2,4 newer,5 written to the copy,6 written to the copy,7 after";
  await expectEverywhere(cluster, "SELECT id || ' ' || text FROM notes ORDER BY id", expected);
  assert.ok(!first.process.log.has(DOUBLED) && !first.process.log.has(COPIED));
});

Deno.test("a database copied from another node with what was pending in it: all of it arrives, once, and it is said", async () => {
  await using cluster = await startCluster(3, { schema: SCHEMA, choose: (id) => ({ started: id !== 3 }) });
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  await first.sql(
    "INSERT INTO notes VALUES (1, 'before'), (2, 'before'); INSERT INTO users VALUES (1, 'a@b');",
  );
  await cluster.converge({ nodes: [first, second] });
  await cluster.nats.kill();
  await first.sql(
    "UPDATE notes SET text = 'pending' WHERE id = 1; DELETE FROM notes WHERE id = 2; INSERT INTO notes VALUES (3, 'pending');",
  );
  assert.equal(first.pending(), 3);
  await putCopy(first, third.dbPath);
  await first.sql("UPDATE notes SET text = 'later' WHERE id = 3;");
  await cluster.nats.start();
  await third.start();
  const line = await third.process.waitForLog(COPIED).then(() =>
    third.process.log.lines.find((each) => each.includes(COPIED))!
  );
  assert.match(line, /WARN .*before=1 pending=3/);
  await expectEverywhere(cluster, "SELECT id || ' ' || text FROM notes ORDER BY id", "1 pending,3 later");
  await third.sql("INSERT INTO notes VALUES (4, 'of 3');");
  await expectEverywhere(
    cluster,
    "SELECT id || ' ' || text FROM notes ORDER BY id",
    "1 pending,3 later,4 of 3",
  );
  for (const node of cluster.nodes) {
    const conflicts = node.read("SELECT DISTINCT row ->> '$.id' FROM __harmonylite___conflict_log").flat()
      .join();
    assert.ok(["", "3"].includes(conflicts), "the same change under two ids is no conflict");
  }
  await third.kill();
  await third.start();
  await eventually("it is at work", () => third.process.log.has("Caught up with the streams"));
  assert.ok(!third.process.log.has(COPIED), "said once");
});
