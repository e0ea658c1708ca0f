import assert from "node:assert/strict";
import { wellStatus } from "../../tests/support/node_statuses.ts";
import { problemsOf, renderBriefHealth, renderHealth } from "./health.ts";
import type { NodeStatus } from "./node_status.ts";

const WELL = wellStatus();
const [STREAM] = WELL.streams as [NodeStatus["streams"][number]];

/** What is said of a status that differs from a well one in this. */
function problemsWith(changed: Partial<NodeStatus>): string[] {
  return problemsOf(wellStatus(changed));
}

function disconnectedFor(ms: number): Partial<NodeStatus> {
  return { nats: { ...WELL.nats, connected: false, sinceMs: WELL.nowMs - ms } };
}

function silentFor(ms: number): Partial<NodeStatus> {
  return { nats: { ...WELL.nats, silentSinceMs: WELL.nowMs - ms } };
}

function pendingFor(ms: number, publishedMs: number | undefined): Partial<NodeStatus> {
  const lastAtMs = publishedMs === undefined ? undefined : WELL.nowMs - publishedMs;
  return {
    pending: { changes: 4, oldestAtMs: WELL.nowMs - ms },
    published: { changes: 7, lastAtMs },
  };
}

Deno.test("a node that is at work is healthy, also while it catches up or the connection was lost a moment ago", () => {
  assert.deepEqual(problemsOf(WELL), []);
  assert.deepEqual(problemsWith({ phase: "catching_up" }), []);
  assert.deepEqual(problemsWith({ phase: "recovering" }), []);
  assert.deepEqual(problemsWith(disconnectedFor(4_000)), []);
  assert.deepEqual(problemsWith(silentFor(4_000)), []);
  assert.deepEqual(problemsWith(pendingFor(600_000, 1_000)), [], "a large backlog is being sent");
  assert.deepEqual(problemsWith({ ...pendingFor(600_000, undefined), publish: false }), []);
  assert.deepEqual(problemsWith({ quarantined: 3, conflicts: { lost: 5, kept: 5 } }), []);
});

Deno.test("what keeps a node from replicating is said, each in a sentence", () => {
  const paused = { table: "notes", stream: STREAM.name, reason: "no column", hint: undefined, sinceMs: 0 };
  const cases: [Partial<NodeStatus>, RegExp][] = [
    [disconnectedFor(9_000), /^not connected to NATS for 9 s$/],
    [{ ...disconnectedFor(1_000), phase: "connecting" }, /^not connected to NATS for 1 s$/],
    [silentFor(9_000), /^JetStream has not answered for 9 s$/],
    [{ paused: [paused] }, /^table "notes" waits for a schema change here: no column$/],
    [{ streams: [{ ...STREAM, condition: "gap" }] }, /^stream ".*-1" has lost changes/],
    [{ streams: [{ ...STREAM, condition: "failing" }] }, /^stream ".*-1" cannot be read$/],
    [{ deadLoops: ["applier"] }, /^the applier loop has ended$/],
    [{ restoreFailure: "no such bucket" }, /^a snapshot is needed and cannot be taken over: no such bucket$/],
    [{ phase: "stopping" }, /^the node is stopping$/],
    [
      { database: { ...WELL.database, problem: "disk I/O error" } },
      /^the database cannot be read: disk I\/O error$/,
    ],
    [{ schema: { ...WELL.schema, tablesWithTriggers: 1 } }, /^1 tables have no triggers$/],
    [pendingFor(90_000, undefined), /^4 changes wait to be sent, and none was sent for 90 s$/],
  ];
  for (const [changed, expected] of cases) {
    const problems = problemsWith(changed);
    assert.equal(problems.length, 1, JSON.stringify(changed));
    assert.match(problems[0]!, expected);
  }
});

Deno.test("a stream that cannot be read while the connection is lost is not said twice", () => {
  const streams = [{ ...STREAM, condition: "failing" as const }];
  assert.equal(problemsWith({ ...disconnectedFor(9_000), streams }).length, 1);
});

Deno.test("the answer has the names of the Go program's, its id in full, and what is wrong", () => {
  const text = renderHealth(WELL, []);
  assert.match(text, /^\{"status":"healthy","node_id":9223372036854775807,"uptime_seconds":3600,/);
  const { node_id: _, ...rest } = JSON.parse(text);
  assert.deepEqual(rest, {
    status: "healthy",
    uptime_seconds: 3600,
    db_connected: true,
    nats_connected: true,
    cdc_installed: true,
    tables_tracked: 2,
    last_replicated_event_timestamp: "2026-01-01T23:59:59.000Z",
    last_published_event_timestamp: "2026-01-01T23:59:58.000Z",
    version: "1.2.3",
    problems: [],
    phase: "replicating",
    pending_changes: 0,
    lag_messages: 0,
    lag_seconds: 0,
    paused_tables: [],
    gaps: [],
    dead_loops: [],
    quarantined: 0,
    snapshot_age_seconds: null,
  });
});

Deno.test("what is not known is null, and not what it was or 0", () => {
  const unknown = { ...STREAM, last: undefined, lagMessages: undefined, lagMs: undefined };
  const health = JSON.parse(renderHealth(
    wellStatus({
      streams: [STREAM, unknown],
      applied: { changes: 0, lastAtMs: undefined },
      pending: { changes: undefined, oldestAtMs: undefined },
    }),
    ["a", "b"],
  ));
  assert.equal(health.status, "unhealthy");
  assert.deepEqual(health.problems, ["a", "b"]);
  for (const name of ["lag_messages", "lag_seconds", "pending_changes", "last_replicated_event_timestamp"]) {
    assert.equal(health[name], null, name);
  }
});

Deno.test("without details it is the status alone", () => {
  assert.equal(renderBriefHealth([]), '{"status":"healthy"}\n');
  assert.equal(renderBriefHealth(["x"]), '{"status":"unhealthy"}\n');
});
