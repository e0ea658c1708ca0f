import type { NodeStatus } from "../../src/observe/node_status.ts";

const NOW_MS = Date.UTC(2026, 0, 2);

/** What a node says of itself that is well and has nothing to do. */
export function wellStatus(changed: Partial<NodeStatus> = {}): NodeStatus {
  return {
    node: "9223372036854775807",
    instance: "b3c0e7de-0000-4000-8000-000000000000",
    version: "1.2.3",
    host: "host",
    process: 42,
    nowMs: NOW_MS,
    startedAtMs: NOW_MS - 3_600_000,
    phase: "replicating",
    publish: true,
    replicate: true,
    database: { path: "/app.db", problem: undefined, busyRetries: 3 },
    nats: {
      connected: true,
      server: "127.0.0.1:4222",
      embedded: false,
      sinceMs: NOW_MS - 3_599_000,
      silentSinceMs: undefined,
    },
    schema: { hash: "abc", tables: 2, tablesWithTriggers: 2, leftOut: {} },
    streams: [{
      name: "harmonylite-changes-c-1",
      shard: 1,
      condition: "reading",
      position: 10,
      first: 1,
      last: 10,
      lagMessages: 0,
      lagMs: 0,
    }],
    paused: [],
    pending: { changes: 0, oldestAtMs: undefined },
    published: { changes: 7, lastAtMs: NOW_MS - 2_000 },
    applied: { changes: 8, lastAtMs: NOW_MS - 1_000 },
    conflicts: { lost: 1, kept: 1 },
    quarantined: 0,
    restoreFailure: undefined,
    snapshot: undefined,
    verified: undefined,
    deadLoops: [],
    ...changed,
  };
}
