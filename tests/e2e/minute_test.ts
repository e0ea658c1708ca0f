import assert from "node:assert/strict";
import { startApplication } from "../support/application_process.ts";
import { startCluster } from "../support/cluster.ts";
import { JOURNAL_COUNTS, JOURNALED_SCHEMA, sumReports } from "../support/journal.ts";

const DURATION_MS = 60_000;

Deno.test("three nodes that all write for a minute, shared rows among others, are equal and miss no change", async () => {
  await using cluster = await startCluster(3, { schema: JOURNALED_SCHEMA });
  await using stack = new AsyncDisposableStack();
  const applications = await Promise.all(cluster.nodes.map(({ dbPath: db }, index) =>
    startApplication({
      db,
      seed: index + 1,
      firstId: (index + 1) * 10_000_000,
      rate: 100,
      rowsPerTransaction: 2,
      sharedPart: 0.3,
      durationMs: DURATION_MS,
    })
  ));
  for (const application of applications) stack.use(application);
  const reports = await Promise.all(applications.map((application) => application.finished()));
  for (const { errors, lastError, transactions } of reports) {
    assert.deepEqual([errors, lastError], [0, null]);
    assert.ok(transactions > 3_000, `only ${transactions} transactions in a minute`);
  }
  await cluster.converge();
  const { inserts, updates, deletes } = sumReports(reports);
  for (const node of cluster.nodes) {
    // An upsert of a shared row counts as an insert there and as an update here, so only the sum is known.
    const total = node.read(JOURNAL_COUNTS)[0]!.reduce<number>((sum, count) => sum + Number(count), 0);
    assert.equal(total, inserts + updates + deletes);
    assert.equal(node.count("SELECT count(*) FROM __harmonylite___quarantine"), 0);
  }
  const slowest = Math.max(...reports.map(({ transactionMs }) => transactionMs.max));
  console.log(`    slowest transaction of an application: ${Math.round(slowest)} ms`);
});
