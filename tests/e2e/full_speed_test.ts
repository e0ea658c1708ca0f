import assert from "node:assert/strict";
import { APPLICATION_SCHEMA } from "../support/application.ts";
import { startApplication } from "../support/application_process.ts";
import { type ClusterNode, startCluster } from "../support/cluster.ts";

const RATE = 5_000;
const DURATION_MS = 60_000;
const LOOK_INTERVAL_MS = 250;

const ROWS = `SELECT (SELECT count(*) FROM customers) + (SELECT count(*) FROM orders) +
  (SELECT count(*) FROM "audit trail")`;

/** Ids are given in order over two of the tables, so the highest tells how far the inserts have come. */
function progress(node: ClusterNode): number {
  return node.count(
    "SELECT max(coalesce((SELECT max(id) FROM customers), 0), (SELECT max(number) FROM orders))",
  );
}

/** How far the receiver was behind, and how much was not sent, while the application wrote. */
async function watch(
  writer: ClusterNode,
  receiver: ClusterNode,
  finished: Promise<unknown>,
): Promise<string> {
  let isWriting = true;
  const ended = finished.finally(() => isWriting = false);
  let [pending, behind] = [0, 0];
  while (isWriting) {
    const there = progress(receiver);
    behind = Math.max(behind, progress(writer) - there);
    pending = Math.max(pending, writer.pending());
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL_MS))]);
  }
  const atEnd = progress(writer) - progress(receiver);
  return `not sent: ${pending} changes at most; behind: ${behind} inserts at most, ${atEnd} at the end`;
}

Deno.test("an application at 5,000 single-row transactions a second sees no error for a minute, and all arrive", async () => {
  await using cluster = await startCluster(2, { schema: APPLICATION_SCHEMA });
  const [writer, receiver] = [cluster.node(1), cluster.node(2)];
  await using application = await startApplication({
    db: writer.dbPath,
    rate: RATE,
    durationMs: DURATION_MS,
  });
  const finished = application.finished();
  const lag = await watch(writer, receiver, finished);
  const { errors, lastError, transactions, elapsedMs, transactionMs, inserts, deletes } = await finished;
  const { p50, p99, max } = transactionMs;
  const times = [p50, p99, max].map((ms) => ms.toFixed(2)).join(", ");
  console.log(`    ${Math.round(transactions / elapsedMs * 1000)} transactions a second were possible here`);
  console.log(`    milliseconds of a transaction: p50, p99, longest: ${times}`);
  console.log(`    ${lag}`);
  assert.deepEqual([errors, lastError], [0, null]);
  await cluster.converge({ timeoutMs: 120_000 });
  for (const node of cluster.nodes) assert.equal(node.count(ROWS), inserts - deletes);
});
