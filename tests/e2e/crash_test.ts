import assert from "node:assert/strict";
import { type RunningApplication, startApplication } from "../support/application_process.ts";
import { type Cluster, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { JOURNAL_COUNTS, JOURNALED_SCHEMA, ROW_COUNT, sumReports } from "../support/journal.ts";

/** A node keeps this however much waits to be sent. */
const MAX_RESIDENT_MB = 200;

/** One application on each node's database, each with ids of its own. */
async function startApplications(
  cluster: Cluster,
  rate: number,
  stack: AsyncDisposableStack,
): Promise<RunningApplication[]> {
  const starting = cluster.nodes.map(({ dbPath: db }, index) =>
    startApplication({ db, seed: index + 1, firstId: (index + 1) * 10_000_000, rate, rowsPerTransaction: 3 })
  );
  return (await Promise.all(starting)).map((application) => stack.use(application));
}

/** Stops the applications and checks that each change they report is on every node, once. */
async function settle(cluster: Cluster, applications: readonly RunningApplication[]): Promise<void> {
  const reports = await Promise.all(applications.map((application) => application.stop()));
  const written = sumReports(reports);
  assert.equal(written.errors, 0, `an application failed: ${reports.map(({ lastError }) => lastError)}`);
  await cluster.converge();
  for (const node of cluster.nodes) {
    const [counts] = node.read(JOURNAL_COUNTS);
    assert.deepEqual(counts?.map(Number), [written.inserts, written.updates, written.deletes]);
    assert.equal(node.count(ROW_COUNT), written.inserts - written.deletes);
    assert.equal(node.count("SELECT count(*) FROM __harmonylite___quarantine"), 0);
  }
}

/** Waits until more rows have come to a node than it had: load is on, and replication at work. */
async function progress(cluster: Cluster, id: number, rows: number): Promise<void> {
  const node = cluster.node(id);
  const before = node.count("SELECT count(*) FROM journal");
  await eventually(
    `${rows} more changes on node ${id}`,
    () => node.count("SELECT count(*) FROM journal") >= before + rows,
  );
}

Deno.test("nothing is lost and nothing doubled when nodes are killed under load, again and again", async () => {
  await using cluster = await startCluster(3, { schema: JOURNALED_SCHEMA });
  await using stack = new AsyncDisposableStack();
  const applications = await startApplications(cluster, 150, stack);
  for (const id of [1, 2, 1, 3, 1, 2]) {
    await progress(cluster, 3, 500);
    await cluster.node(id).kill();
    await progress(cluster, id, 100); // Its application goes on.
    await cluster.node(id).start();
  }
  await Promise.all([cluster.node(1).kill(), cluster.node(2).kill(), cluster.node(3).kill()]);
  await progress(cluster, 1, 100);
  await Promise.all(cluster.nodes.map((node) => node.start()));
  await settle(cluster, applications);
});

Deno.test("nothing is lost and nothing doubled when nats-server is killed under load, again and again", async () => {
  await using cluster = await startCluster(3, { schema: JOURNALED_SCHEMA });
  await using stack = new AsyncDisposableStack();
  const applications = await startApplications(cluster, 150, stack);
  for (let round = 0; round < 4; round++) {
    await progress(cluster, 3, 500);
    await cluster.nats.kill();
    await progress(cluster, 1, 300);
    await cluster.nats.start();
    await eventually("changes arrive again", () => cluster.node(2).pending() < 100, { timeoutMs: 60_000 });
  }
  await settle(cluster, applications);
});

Deno.test("a node and nats-server killed at once come back without a loss", async () => {
  await using cluster = await startCluster(2, { schema: JOURNALED_SCHEMA });
  await using stack = new AsyncDisposableStack();
  const applications = await startApplications(cluster, 200, stack);
  for (let round = 0; round < 3; round++) {
    await progress(cluster, 2, 500);
    await Promise.all([cluster.node(1).kill(), cluster.nats.kill()]);
    await progress(cluster, 1, 100);
    await cluster.nats.start();
    await cluster.node(1).start();
  }
  await settle(cluster, applications);
});

Deno.test("a node's memory does not grow with the backlog while nats-server is away", async () => {
  await using cluster = await startCluster(2, { schema: JOURNALED_SCHEMA });
  let highestMb = 0;
  const look = (): void => {
    for (const node of cluster.nodes) highestMb = Math.max(highestMb, node.residentMegabytes());
  };
  await cluster.nats.kill();
  for (let thousand = 0; thousand < 60; thousand++) {
    const rows = `WITH RECURSIVE n(i) AS (VALUES (${thousand}000) UNION ALL SELECT i + 1 FROM n LIMIT 1000)`;
    await cluster.node(1).sql(
      `BEGIN; ${rows} INSERT INTO customers (id, name) SELECT i, 'name ' || i || hex(zeroblob(100)) FROM n; COMMIT;`,
    );
    look();
  }
  assert.equal(cluster.node(1).pending(), 120_000); // A journal entry for each row.
  await cluster.nats.start();
  await eventually(
    "the backlog has arrived",
    () => {
      look();
      return cluster.node(2).count("SELECT count(*) FROM journal") === 60_000;
    },
    { timeoutMs: 60_000 },
  );
  await cluster.converge();
  look();
  console.log(`    highest resident memory: ${Math.round(highestMb)} MB`);
  assert.ok(highestMb < MAX_RESIDENT_MB, `${highestMb} MB`);
});

Deno.test("a node that is killed as soon as it runs does not take that for a wish to recover", async () => {
  await using cluster = await startCluster(2, {
    schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
    choose: () => ({ top: { cleanup_interval: 3_600_000 } }),
  });
  const [writer, killed] = [cluster.node(1), cluster.node(2)];
  await writer.sql("INSERT INTO notes VALUES (1, 'arrives');");
  await cluster.converge();
  await killed.process.waitForLog("Waiting checkpoint...");
  await killed.kill();
  await killed.start();
  await killed.process.waitForLog("Caught up with the streams");
  assert.ok(!killed.process.log.has("The sequence map was removed"));
});
