import assert from "node:assert/strict";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import type { TestProcess } from "../support/process.ts";

const SCHEMA = `CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);
  CREATE TABLE "odd name" (k TEXT UNIQUE, v);`;
const QUICK_TO_FAIL = { nats: { connect_retries: 1, reconnect_wait_seconds: 0 } };

/** What of ours is in the database, by type. */
function ours(node: ClusterNode, type = "%"): string[] {
  return node.read(
    "SELECT name FROM sqlite_schema WHERE type LIKE ? AND lower(sql) LIKE '%\\_\\_harmonylite%' ESCAPE '\\' ORDER BY name",
    type,
  ).map(([name]) => String(name));
}

async function endOf(process: TestProcess): Promise<number> {
  await using _ = process;
  return await process.exited;
}

Deno.test("cleanup beside a running node stops it, sends what is pending and takes capture out", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await second.sql("INSERT INTO notes VALUES (1, 'a'), (2, 'b'); INSERT INTO \"odd name\" VALUES ('k', 1);");
  await cluster.converge();
  await first.sql("UPDATE notes SET text = 'sent before' WHERE id = 1; DELETE FROM notes WHERE id = 2;");
  assert.equal(await endOf(first.command(["cleanup"])), 0);
  assert.equal(await first.process.exited, 0);
  await eventually(
    "all was sent",
    () => assert.deepEqual(second.read("SELECT id, text FROM notes"), [[1n, "sent before"]]),
  );
  assert.deepEqual(ours(first, "trigger"), []);
  const tables = ours(first, "table");
  assert.deepEqual(tables.filter((name) => name.includes("change_log")), []);
  assert.ok(tables.includes("__harmonylite__notes_row_version"), String(tables));
  assert.ok(tables.includes("__harmonylite___position"), String(tables));

  await second.sql("INSERT INTO notes VALUES (3, 'meanwhile');");
  await first.start();
  await first.sql("INSERT INTO notes VALUES (4, 'captured again');");
  await cluster.converge();
  assert.deepEqual(second.read("SELECT id FROM notes ORDER BY id").flat(), [1n, 3n, 4n]);
  // What cleanup sent comes back to a database that does not know it any more.
  assert.ok(!first.process.log.has("was not made in this database"));
});

Deno.test("cleanup refuses while changes cannot be sent, and loses them only when told to", async () => {
  await using cluster = await startCluster(1, { schema: SCHEMA });
  const node = cluster.node(1);
  assert.equal(await node.stop(), 0);
  await cluster.nats.kill();
  await node.sql("INSERT INTO notes VALUES (1, 'pending');");
  const before = ours(node);
  await using refused = node.command(["cleanup"], { settings: QUICK_TO_FAIL });
  assert.equal(await refused.exited, 1);
  assert.ok(refused.log.has(/Cannot clean up: pending changes could not be sent: /), refused.log.tail());
  assert.ok(refused.log.has("--discard-pending"), refused.log.tail());
  assert.deepEqual(ours(node), before, "nothing was removed");
  assert.equal(node.pending(), 1);
  assert.equal(await endOf(node.command(["cleanup", "--discard-pending"])), 0);
  assert.deepEqual(ours(node, "trigger"), []);
  assert.equal(node.count("SELECT count(*) FROM notes"), 1);
});

Deno.test("cleanup of a running node with NATS away refuses and takes nothing away", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await cluster.nats.kill();
  await first.sql("INSERT INTO notes VALUES (1, 'pending');");
  assert.equal(await endOf(first.command(["cleanup"], { settings: QUICK_TO_FAIL })), 1);
  assert.equal(first.pending(), 1);
  await cluster.nats.start();
  await first.start();
  await cluster.converge();
  assert.equal(second.count("SELECT count(*) FROM notes"), 1);
});

Deno.test("cleanup --all leaves nothing of ours, in the database and beside it", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await second.sql("INSERT INTO notes VALUES (1, 'a'); INSERT INTO \"odd name\" VALUES ('k', 1);");
  await cluster.converge();
  assert.equal(await endOf(first.command(["-cleanup", "--all"])), 0);
  assert.deepEqual(ours(first), []);
  assert.equal(await first.sql("PRAGMA integrity_check;"), "ok\n");
  const beside = [...Deno.readDirSync(cluster.dir)].map(({ name }) => name).filter((name) =>
    name.startsWith("node-1")
  );
  assert.deepEqual(beside.filter((name) => !/^node-1\.(toml|db(-wal|-shm)?)$/.test(name)), []);
  await first.sql("INSERT INTO notes VALUES (2, 'b');"); // No trigger is left that could fail.
});
