import type { NodeStatus, StreamStatus } from "./node_status.ts";

/** A connection that is lost for less than this may be on its way back, and a server that does not answer may be busy. */
const MAX_SILENT_MS = 5_000;
/** Pending changes older than this, while none is sent, do not move any more. */
const MAX_STUCK_MS = 60_000;

/** Why a node is not well, one sentence each; none when it is. Work in progress, such as catching up, is no problem. */
export function problemsOf(status: NodeStatus): string[] {
  return [
    ...processProblems(status),
    ...databaseProblems(status),
    ...natsProblems(status),
    ...status.streams.flatMap((stream) => streamProblems(stream, status)),
    ...restoreProblems(status),
    ...status.paused.map(({ table, reason }) => `table "${table}" waits for a schema change here: ${reason}`),
  ];
}

function processProblems({ phase, deadLoops }: NodeStatus): string[] {
  const dead = deadLoops.map((loop) => `the ${loop} loop has ended`);
  return phase === "stopping" ? ["the node is stopping", ...dead] : dead;
}

function databaseProblems({ database, schema, pending, published, publish, nowMs }: NodeStatus): string[] {
  const problems: string[] = [];
  if (database.problem !== undefined) problems.push(`the database cannot be read: ${database.problem}`);
  const { tables, tablesWithTriggers = tables } = schema;
  if (tablesWithTriggers < tables) problems.push(`${tables - tablesWithTriggers} tables have no triggers`);
  const movedAtMs = Math.max(pending.oldestAtMs ?? nowMs, published.lastAtMs ?? 0);
  if (publish && nowMs - movedAtMs > MAX_STUCK_MS) {
    problems.push(
      `${pending.changes} changes wait to be sent, and none was sent for ${seconds(nowMs - movedAtMs)}`,
    );
  }
  return problems;
}

function natsProblems({ nats, phase, nowMs }: NodeStatus): string[] {
  const silentMs = nowMs - (nats.silentSinceMs ?? nowMs);
  if (silentMs > MAX_SILENT_MS) return [`JetStream has not answered for ${seconds(silentMs)}`];
  const lostMs = nowMs - nats.sinceMs;
  if (nats.connected || (phase !== "connecting" && lostMs < MAX_SILENT_MS)) return [];
  return [`not connected to NATS for ${seconds(lostMs)}`];
}

function restoreProblems({ restoreFailure }: NodeStatus): string[] {
  return restoreFailure === undefined
    ? []
    : [`a snapshot is needed and cannot be taken over: ${restoreFailure}`];
}

/** What a lost connection explains is not said again. */
function streamProblems({ name, condition }: StreamStatus, { nats }: NodeStatus): string[] {
  if (condition === "gap") return [`stream "${name}" has lost changes that this node has not read`];
  return condition === "failing" && nats.connected ? [`stream "${name}" cannot be read`] : [];
}

function seconds(ms: number): string {
  return `${Math.max(0, Math.round(ms / 1000))} s`;
}

/** The answer of the health endpoint. The first ten names are those of the Go program; all times are ISO 8601. */
export function renderHealth(status: NodeStatus, problems: readonly string[]): string {
  const { database, nats, schema, streams, nowMs } = status;
  const rest = {
    uptime_seconds: Math.floor((nowMs - status.startedAtMs) / 1000),
    db_connected: database.problem === undefined,
    nats_connected: nats.connected,
    cdc_installed: schema.tablesWithTriggers === undefined
      ? null
      : schema.tablesWithTriggers >= schema.tables,
    tables_tracked: schema.tables,
    last_replicated_event_timestamp: timeText(status.applied.lastAtMs),
    last_published_event_timestamp: timeText(status.published.lastAtMs),
    version: status.version,
    problems,
    phase: status.phase,
    pending_changes: status.pending.changes ?? null,
    lag_messages: worst(streams.map(({ lagMessages }) => lagMessages)),
    lag_seconds: inSeconds(worst(streams.map(({ lagMs }) => lagMs))),
    paused_tables: [...new Set(status.paused.map(({ table }) => table))],
    gaps: streams.filter(({ condition }) => condition === "gap").map(({ name }) => name),
    dead_loops: status.deadLoops,
    quarantined: status.quarantined ?? null,
    snapshot_age_seconds: snapshotAge(status) ?? null,
  };
  // An id may exceed what a JavaScript number holds, and is a JSON number all the same.
  const head = `{"status":"${statusWord(problems)}","node_id":${status.node},`;
  return `${head}${JSON.stringify(rest).slice(1)}\n`;
}

/** The answer without details. */
export function renderBriefHealth(problems: readonly string[]): string {
  return `{"status":"${statusWord(problems)}"}\n`;
}

/** Seconds since the newest snapshot was taken; undefined while none is known. */
export function snapshotAge({ snapshot, nowMs }: NodeStatus): number | undefined {
  return snapshot?.takenAtMs === undefined ? undefined : Math.max(0, (nowMs - snapshot.takenAtMs) / 1000);
}

function statusWord(problems: readonly string[]): string {
  return problems.length === 0 ? "healthy" : "unhealthy";
}

/** The highest; null when one is not known. */
function worst(values: readonly (number | undefined)[]): number | null {
  return values.some((value) => value === undefined) ? null : Math.max(0, ...values as number[]);
}

function inSeconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1000;
}

function timeText(atMs: number | undefined): string | null {
  return atMs === undefined ? null : new Date(atMs).toISOString();
}
