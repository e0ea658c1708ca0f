import assert from "node:assert/strict";
import { startApplication } from "../support/application_process.ts";
import { startCluster } from "../support/cluster.ts";
import { JOURNAL_COUNTS, JOURNALED_SCHEMA } from "../support/journal.ts";

const RATE = 5_000;
const DURATION_MS = 60_000;
const LOOK_INTERVAL_MS = 250;

Deno.test("an application writes 5,000 single-row transactions a second for a minute without an error, and all arrive", async () => {
  await using cluster = await startCluster(2, { schema: JOURNALED_SCHEMA });
  const [writer, receiver] = [cluster.node(1), cluster.node(2)];
  await using application = await startApplication({
    db: writer.dbPath,
    rate: RATE,
    durationMs: DURATION_MS,
  });
  const finished = application.finished();
  let isWriting = true;
  void finished.finally(() => isWriting = false);
  let mostPending = 0;
  let mostBehind = 0;
  const changes = "SELECT count(*) FROM journal";
  while (isWriting) {
    mostPending = Math.max(mostPending, writer.pending());
    const there = receiver.count(changes);
    mostBehind = Math.max(mostBehind, writer.count(changes) - there);
    await Promise.race([finished, new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL_MS))]);
  }
  const behindAtEnd = writer.count(changes) - receiver.count(changes);
  const report = await finished;
  const rate = Math.round(report.transactions / report.elapsedMs * 1000);
  const { p50, p99, max } = report.transactionMs;
  console.log(`    ${rate} transactions a second: p50 ${p50} ms, p99 ${p99} ms, longest ${max} ms`);
  console.log(
    `    not sent: ${mostPending} at most; not arrived: ${mostBehind} at most, ${behindAtEnd} at the end`,
  );
  assert.deepEqual([report.errors, report.lastError], [0, null]);
  await cluster.converge({ timeoutMs: 120_000 });
  const total = receiver.read(JOURNAL_COUNTS)[0]!.reduce<number>((sum, count) => sum + Number(count), 0);
  assert.equal(total, report.inserts + report.updates + report.deletes);
});
