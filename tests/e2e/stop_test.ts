import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/nats_server.ts";
import type { TestProcess } from "../support/process.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";
const MANY = `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 20000)
  INSERT INTO notes SELECT i, 'note ' || i FROM n;`;

/** Sends Ctrl-C again and again, as two signals that come at once count as one, until the process has ended. */
async function interruptUntilEnd(process: TestProcess): Promise<number> {
  await eventually("it has ended", () => {
    process.signal("SIGINT");
    return !process.running;
  }, { intervalMs: 50, timeoutMs: 5_000 });
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
