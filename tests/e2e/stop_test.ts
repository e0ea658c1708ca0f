import assert from "node:assert/strict";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/nats_server.ts";
import { startProcess, type TestProcess } from "../support/process.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";
const MANY = `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 20000)
  INSERT INTO notes SELECT i, 'note ' || i FROM n;`;

/** Sends Ctrl-C again and again, as two signals that come at once count as one, until the process has ended. */
async function interruptUntilEnd(process: TestProcess): Promise<number> {
  await eventually("it has ended", () => {
    process.signal("SIGINT");
    return !process.running;
  }, { intervalMs: 50, timeoutMs: 30_000 });
  return await process.exited;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`${signal} drains: what was written just before is sent, and the exit code is 0`, async () => {
    await using cluster = await startCluster(2, { schema: SCHEMA });
    const [first, second] = [cluster.node(1), cluster.node(2)];
    await first.sql(MANY);
    assert.equal(await first.process.kill(signal), 0);
    assert.equal(first.pending(), 0);
    await eventually("all has arrived", () => second.count("SELECT count(*) FROM notes") === 20_000);
    await first.start();
    await cluster.converge();
  });
}

Deno.test("a second Ctrl-C ends a node that drains at once, with exit code 130, and nothing is lost", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO notes VALUES (0, 'sent');");
  await cluster.converge();
  await cluster.nats.kill();
  await first.sql("INSERT INTO notes VALUES (1, 'waits');");
  await first.process.waitForLog("Unable to publish");
  assert.equal(await interruptUntilEnd(first.process), 130);
  await cluster.nats.start();
  await first.start();
  await cluster.converge();
  assert.equal(second.count("SELECT count(*) FROM notes WHERE id = 1"), 1);
});

Deno.test("Ctrl-C ends a node that still waits for its first connection", async () => {
  await using cluster = await startCluster(1, { schema: SCHEMA, choose: () => ({ started: false }) });
  await using process = cluster.node(1).launch({
    natsUrl: `nats://127.0.0.1:${freePort()}`,
    settings: { nats: { connect_retries: 1000, reconnect_wait_seconds: 1 } },
  });
  await process.waitForLog(/WARN .*Failed to connect to NATS/);
  assert.equal(await process.kill("SIGINT"), 0);
});

Deno.test("stop drains a node and returns when it is gone; of a crashed one, and of none, it says that none runs", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql(MANY);
  assert.match(await said(first, ["-stop"]), /^The node \(process \d+\) on \S+node-1\.db has stopped\.$/);
  assert.equal(first.pending(), 0);
  assert.equal(await first.process.exited, 0);
  assert.ok(first.process.log.has("HarmonyLite has stopped"), first.process.log.tail());
  assert.match(await said(first, ["stop"]), /^No node runs on \S+node-1\.db\.$/);
  await eventually("all has arrived", () => second.count("SELECT count(*) FROM notes") === 20_000);

  await second.kill();
  await using stranger = startProcess({ name: "stranger", command: "sleep", args: ["600"] });
  await Deno.writeTextFile(`${second.dbPath}-harmonylite.lock`, `${stranger.pid} crashed\n`);
  assert.match(await said(second, ["stop"]), /^No node runs /);
  assert.ok(stranger.running, "a process that has the id of the crashed node by now");

  await cluster.nats.kill();
  await using waiting = second.launch({ settings: { nats: { connect_retries: 1000 } } });
  await waiting.waitForLog(/WARN .*Failed to connect to NATS/);
  assert.match(await said(second, ["stop"]), /has stopped\.$/);
  assert.equal(await waiting.exited, 0);
});

/** What a command prints; it must exit with 0. */
async function said(node: ClusterNode, words: readonly string[]): Promise<string> {
  await using process = node.command(words);
  assert.equal(await process.exited, 0, process.log.tail());
  return process.output.lines.join("\n");
}
