import assert from "node:assert/strict";
import { wellStatus } from "../../tests/support/node_statuses.ts";
import { STATUS_METRICS, TIMED_METRICS, type TimedName } from "./metric_table.ts";
import { Metrics } from "./metrics.ts";
import type { NodeStatus } from "./node_status.ts";

/** Name and labels to the value, of a scrape. */
async function scrape(metrics: Metrics, status: NodeStatus): Promise<Map<string, string>> {
  const text = await (await metrics.render(status)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), line.split(" ").at(-1)!]));
}

const DEFAULT_NAMES = { namespace: "harmonylite", subsystem: "" };

Deno.test("a metric has the documented name, with namespace and subsystem before it if there are any", async () => {
  for (
    const [namespace, subsystem, name] of [
      ["harmonylite", "", "harmonylite_published"],
      ["harmonylite", "replication", "harmonylite_replication_published"],
      ["", "", "published"],
    ] as const
  ) {
    const found = await scrape(new Metrics({ namespace, subsystem }), wellStatus());
    assert.equal(found.get(name), "7");
  }
});

Deno.test("counters and gauges are what the status says at each scrape", async () => {
  const metrics = new Metrics(DEFAULT_NAMES);
  await scrape(metrics, wellStatus({ published: { changes: 3, lastAtMs: 1 } }));
  const found = await scrape(
    metrics,
    wellStatus({ published: { changes: 5, lastAtMs: 1 }, deadLoops: ["x"] }),
  );
  assert.equal(found.get("harmonylite_published"), "5");
  assert.equal(found.get("harmonylite_applied"), "8");
  assert.equal(found.get("harmonylite_conflicts"), "1");
  assert.equal(found.get("harmonylite_healthy"), "0");
  assert.equal(found.get('harmonylite_lag_messages{stream="harmonylite-changes-c-1"}'), "0");
  assert.equal(found.get('harmonylite_info{node="9223372036854775807",version="1.2.3"}'), "1");
});

Deno.test("what is not known is left out: it is not 0, nor what it was", async () => {
  const metrics = new Metrics(DEFAULT_NAMES);
  const taken = {
    takenAtMs: wellStatus().nowMs - 60_000,
    bytes: 5,
    isLeader: true,
  } as NodeStatus["snapshot"];
  const known = await scrape(metrics, wellStatus({ snapshot: taken }));
  assert.equal(known.get("harmonylite_snapshot_age"), "60");
  const pending = { changes: undefined, oldestAtMs: undefined };
  const found = await scrape(metrics, wellStatus({ snapshot: undefined, pending, streams: [] }));
  const names = [...found.keys()].join("\n");
  for (const absent of ["snapshot_age", "snapshot_bytes", "pending_publish", "lag_messages", "verify_"]) {
    assert.ok(!names.includes(`harmonylite_${absent}`), absent);
  }
});

Deno.test("how long things took is counted in buckets", async () => {
  const metrics = new Metrics(DEFAULT_NAMES);
  metrics.take("scan_changes", 300);
  metrics.take("scan_changes", 1e9);
  const found = await scrape(metrics, wellStatus());
  assert.equal(found.get('harmonylite_scan_changes_bucket{le="250"}'), "0");
  assert.equal(found.get('harmonylite_scan_changes_bucket{le="500"}'), "1");
  assert.equal(found.get('harmonylite_scan_changes_bucket{le="+Inf"}'), "2");
  assert.equal(found.get("harmonylite_apply_seconds_count"), "0");
});

Deno.test("buckets rise, and no metric has the name of another", () => {
  for (const [name, { buckets }] of Object.entries(TIMED_METRICS)) {
    assert.deepEqual(buckets, [...buckets].sort((a, b) => a - b), name);
  }
  const timed = Object.keys(TIMED_METRICS) as TimedName[];
  const taken = new Set(timed.flatMap((name) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]));
  assert.deepEqual(Object.keys(STATUS_METRICS).filter((name) => taken.has(name)), []);
});
