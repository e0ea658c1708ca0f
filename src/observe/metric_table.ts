import { problemsOf, snapshotAge } from "./health.ts";
import type { NodeStatus, StreamStatus } from "./node_status.ts";

/** A value with the labels that tell it from others of its metric. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric whose values are read from the status when it is asked for. */
export interface StatusMetric {
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly labels?: readonly string[];
  /** Undefined is not known now, and left out. */
  readonly read: (status: NodeStatus) => number | undefined | readonly Sample[];
}

/** A metric of how long something took, each time that it happened. */
export interface TimedMetric {
  readonly help: string;
  /** Upper ends, in the unit of the name; microseconds in the two that the documents name so. */
  readonly buckets: readonly number[];
}

const MICROSECONDS = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 10_000_000];
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];
const LONG_SECONDS = [0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800, 7_200];

/** Those that take note of each event. The first two and their unit stand in the documents. */
export const TIMED_METRICS = {
  count_changes: { help: "Looking whether changes are pending, microseconds", buckets: MICROSECONDS },
  scan_changes: { help: "Reading pending changes, microseconds", buckets: MICROSECONDS },
  publish_seconds: { help: "Sending a batch, until all of it is acknowledged and marked", buckets: SECONDS },
  apply_seconds: { help: "Applying what one transaction holds", buckets: SECONDS },
  replication_seconds: {
    help: "From the stream's storing of a message to its being applied here, by both clocks",
    buckets: SECONDS,
  },
  snapshot_seconds: { help: "Taking a snapshot, upload included", buckets: LONG_SECONDS },
} satisfies Readonly<Record<string, TimedMetric>>;

export type TimedName = keyof typeof TIMED_METRICS;

/** Told of a metric's next value. */
export type TakeTime = (name: TimedName, value: number) => void;

/** Those that are read from the status of the node. The first two and `snapshot_age` stand in the documents. */
export const STATUS_METRICS: Readonly<Record<string, StatusMetric>> = {
  published: {
    type: "counter",
    help: "Change records published successfully",
    read: ({ published }) => published.changes,
  },
  pending_publish: {
    type: "gauge",
    help: "Change records awaiting publication",
    read: ({ pending }) => pending.changes,
  },
  pending_age_seconds: {
    type: "gauge",
    help: "How long the oldest of them has been waiting",
    read: ({ pending, nowMs }) => pending.changes === 0 ? 0 : since(pending.oldestAtMs, nowMs),
  },
  applied: {
    type: "counter",
    help: "Changes of other nodes that were applied",
    read: ({ applied }) => applied.changes,
  },
  conflicts: {
    type: "counter",
    help: "Changes of other nodes that lost against newer ones",
    read: ({ conflicts }) => conflicts.lost,
  },
  conflicts_kept: {
    type: "gauge",
    help: "Overridden writes that harmonylite conflicts list shows",
    read: ({ conflicts }) => conflicts.kept,
  },
  quarantined: {
    type: "gauge",
    help: "Messages that could not be understood or applied",
    read: ({ quarantined }) => quarantined,
  },
  lag_messages: perStream("Messages of the stream that are not applied here", (stream) => stream.lagMessages),
  lag_seconds: perStream(
    "How long the first of them has been waiting, at most",
    ({ lagMs }) => lagMs === undefined ? undefined : lagMs / 1000,
  ),
  stream_position: perStream("Last message of the stream that is applied here", ({ position }) => position),
  stream_end: perStream("Last message of the stream", ({ last }) => last),
  schema_paused: perStream(
    "1 while the stream waits for a schema change of this database",
    ({ condition }) => Number(condition === "schema_mismatch_paused"),
  ),
  gap: perStream(
    "1 while the stream has lost messages that this node has not read",
    ({ condition }) => Number(condition === "gap"),
  ),
  nats_connected: {
    type: "gauge",
    help: "1 while the node is connected to NATS",
    read: ({ nats }) => Number(nats.connected),
  },
  snapshot_age: {
    type: "gauge",
    help: "Seconds since the newest snapshot of the cluster was taken",
    read: snapshotAge,
  },
  snapshot_bytes: { type: "gauge", help: "Its size", read: ({ snapshot }) => snapshot?.bytes },
  snapshot_leader: {
    type: "gauge",
    help: "1 on the node that takes the snapshots",
    read: ({ snapshot }) => snapshot && Number(snapshot.isLeader),
  },
  snapshot_failed: {
    type: "gauge",
    help: "1 while this node cannot take the snapshot that it should, or see the store",
    read: ({ snapshot }) => snapshot && Number((snapshot.failure ?? snapshot.problem) !== undefined),
  },
  busy_retries: {
    type: "counter",
    help: "Times that the database was locked by another program and was tried again",
    read: ({ database }) => database.busyRetries,
  },
  verify_differing_rows: {
    type: "gauge",
    help: "Rows that differed from those of other nodes when they were compared last",
    read: ({ verified }) => verified?.differing,
  },
  verify_age_seconds: {
    type: "gauge",
    help: "Seconds since then",
    read: ({ verified, nowMs }) => since(verified?.atMs, nowMs),
  },
  tables: { type: "gauge", help: "Tables that are replicated", read: ({ schema }) => schema.tables },
  healthy: {
    type: "gauge",
    help: "1 while the health check has nothing to say",
    read: (status) => Number(problemsOf(status).length === 0),
  },
  start_time_seconds: {
    type: "gauge",
    help: "When the process was started, Unix time",
    read: ({ startedAtMs }) => startedAtMs / 1000,
  },
  resident_memory_bytes: {
    type: "gauge",
    help: "Memory that the process has in use",
    read: () => Deno.memoryUsage().rss,
  },
  info: {
    type: "gauge",
    help: "1, with who this is",
    labels: ["node", "version"],
    read: ({ node, version }) => [{ labels: { node, version }, value: 1 }],
  },
};

function perStream(help: string, read: (stream: StreamStatus) => number | undefined): StatusMetric {
  return {
    type: "gauge",
    help,
    labels: ["stream"],
    read: ({ streams }) =>
      streams.flatMap((stream) => {
        const value = read(stream);
        return value === undefined ? [] : [{ labels: { stream: stream.name }, value }];
      }),
  };
}

function since(atMs: number | undefined, nowMs: number): number | undefined {
  return atMs === undefined ? undefined : Math.max(0, (nowMs - atMs) / 1000);
}
