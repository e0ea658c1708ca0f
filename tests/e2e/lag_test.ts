import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

/** Longer than the test waits: only a file event can announce a change in time. */
const POLLING_INTERVAL_MS = 30_000;
const TIMEOUT_MS = 3_000;

for (const synchronous of ["FULL", "NORMAL", "EXTRA"] as const) {
  Deno.test(`a commit with synchronous = ${synchronous} is announced by file events, not found by polling`, async () => {
    await using cluster = await startCluster(2, {
      schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
      choose: () => ({ top: { polling_interval: POLLING_INTERVAL_MS } }),
    });
    const [writer, reader] = [cluster.node(1), cluster.node(2)];
    const lags: number[] = [];
    for (let id = 1; id <= 10; id++) {
      await writer.sql(`PRAGMA synchronous = ${synchronous}; INSERT INTO notes VALUES (${id}, 'note');`);
      const start = performance.now();
      await eventually(`row ${id} arrives`, () => reader.count("SELECT count(*) FROM notes") === id, {
        timeoutMs: TIMEOUT_MS,
        intervalMs: 2,
      });
      lags.push(performance.now() - start);
    }
    const median = lags.sort((a, b) => a - b)[5]!;
    assert.ok(median < 250, `median of ${lags.map(Math.round)} ms`);
  });
}

Deno.test("a database with a rollback journal is followed without polling, too", async () => {
  await using cluster = await startCluster(2, {
    schema: "PRAGMA journal_mode = DELETE; CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
    choose: () => ({ top: { polling_interval: POLLING_INTERVAL_MS } }),
  });
  for (let id = 1; id <= 5; id++) {
    await cluster.node(1).sql(`INSERT INTO notes VALUES (${id}, 'note');`);
    await eventually(`row ${id} arrives`, () => cluster.node(2).count("SELECT count(*) FROM notes") === id, {
      timeoutMs: TIMEOUT_MS,
    });
  }
});
