import type { PeerStatus } from "../agent/cluster_status.ts";
import { selfOf, type StatusReport } from "../agent/status_report.ts";
import { printable } from "../lib/printable.ts";
import type { NodeStatus, SnapshotStatus, StreamStatus } from "../observe/node_status.ts";
import { ageText, bytesText, countText, durationText } from "./quantities.ts";

const SHOWN_HASH = 8;
const UNKNOWN = "?";

/** What `harmonylite status` prints: this node, then the cluster. */
export function renderStatus(report: StatusReport, nowMs: number): string {
  const self = selfOf(report);
  const node = self ? renderNode(self) : renderAbsent(report, nowMs);
  return `${[...node, "", ...renderCluster(report)].join("\n")}\n`;
}

/** What its database tells of a node that does not answer. */
function renderAbsent(
  { node, database, isRunning, process, facts, factsProblem }: StatusReport,
  nowMs: number,
): string[] {
  const who = process === undefined ? "it runs" : `it runs (process ${process})`;
  const lines = [
    `Node ${node}: ${isRunning ? `${who}, but does not answer` : "it does not run"}`,
    row("Database", database),
  ];
  if (facts === undefined) return [...lines, row("Problem", problemText(factsProblem))];
  return [
    ...lines,
    row("Pending", pendingText(facts.pending, facts.oldestPendingAtMs, nowMs)),
    ...facts.positions.map(({ stream, sequence }) => row("Position", `${printable(stream)} ${sequence}`)),
    row("Conflicts", `${facts.conflicts} kept, ${facts.quarantined} messages in quarantine`),
  ];
}

function problemText(problem = "it cannot be read"): string {
  return /no such table/.test(problem) ? "no node has been started on it yet" : printable(problem);
}

function renderNode(status: NodeStatus): string[] {
  const { node, host, process, version, nowMs, startedAtMs, nats, pending, conflicts, quarantined } = status;
  return [
    `Node ${node}: ${phaseText(status)}`,
    row("Database", printable(status.database.path)),
    row(
      "Process",
      `${process} on ${printable(host)}, version ${printable(version)}, for ${
        durationText(nowMs - startedAtMs)
      }`,
    ),
    row("Role", roleText(status)),
    row("NATS", natsText(nats, nowMs)),
    row("Lag", lagText(status)),
    row("Pending", pendingText(pending.changes, pending.oldestAtMs, nowMs)),
    row("Published", doneText(status.published, nowMs)),
    row("Applied", doneText(status.applied, nowMs)),
    ...status.streams.map((stream) => row("Stream", streamText(stream))),
    ...status.paused.map(({ table, reason }) => row("Paused", `${printable(table)}: ${printable(reason)}`)),
    row("Schema", schemaText(status.schema)),
    ...status.snapshot ? [row("Snapshot", snapshotText(status.snapshot, nowMs))] : [],
    row("Conflicts", `${conflicts.kept ?? UNKNOWN} kept, ${quarantined ?? UNKNOWN} messages in quarantine`),
    ...problemsOf(status).map((problem) => row("Problem", problem)),
  ];
}

function row(label: string, text: string): string {
  return `  ${label.padEnd(11)}${text}`;
}

function phaseText({ phase }: NodeStatus): string {
  return phase.replaceAll("_", " ");
}

function roleText({ publish, replicate, snapshot }: NodeStatus): string {
  const role = publish
    ? replicate ? "publishes and applies" : "publishes only"
    : replicate
    ? "applies only"
    : "neither publishes nor applies";
  return snapshot?.isLeader ? `${role}, takes the snapshots` : role;
}

function natsText({ connected, server, embedded, sinceMs }: NodeStatus["nats"], nowMs: number): string {
  const whose = embedded ? ", its own server" : "";
  const where = server === undefined ? "" : ` ${connected ? "to" : "from"} ${printable(server)}`;
  return `${connected ? "connected" : "disconnected"}${where} for ${durationText(nowMs - sinceMs)}${whose}`;
}

/** Over all streams: the sum of messages, the longest time. */
export function lagOf(
  { streams }: NodeStatus,
): { readonly messages: number | undefined; readonly ms: number | undefined } {
  const messages = streams.map(({ lagMessages }) => lagMessages);
  const times = streams.map(({ lagMs }) => lagMs);
  return {
    messages: messages.includes(undefined) ? undefined : messages.reduce<number>((sum, lag) => sum + lag!, 0),
    ms: times.includes(undefined) ? undefined : Math.max(0, ...times.map((ms) => ms!)),
  };
}

function lagText(status: NodeStatus): string {
  const { messages, ms } = lagOf(status);
  if (messages === 0) return "none";
  if (messages === undefined) return "not known";
  return `${countText(messages, "message")}${ms === undefined ? "" : `, ${durationText(ms)}`}`;
}

function pendingText(changes: number | undefined, oldestAtMs: number | undefined, nowMs: number): string {
  if (changes === undefined) return "not known";
  const oldest = changes > 0 && oldestAtMs !== undefined ? `, the oldest ${ageText(nowMs - oldestAtMs)}` : "";
  return `${countText(changes, "change")}${oldest}`;
}

function doneText({ changes, lastAtMs }: NodeStatus["published"], nowMs: number): string {
  return `${countText(changes, "change")}${
    lastAtMs === undefined ? "" : `, the last ${ageText(nowMs - lastAtMs)}`
  }`;
}

function streamText({ name, condition, position, last, lagMessages }: StreamStatus): string {
  const behind = lagMessages ? `, ${countText(lagMessages, "message")} behind` : "";
  return `${printable(name)} ${position} of ${last ?? UNKNOWN}${behind}, ${condition}`;
}

function schemaText({ hash, tables, leftOut }: NodeStatus["schema"]): string {
  const names = Object.keys(leftOut);
  const without = names.length === 0 ? "" : `, not replicated: ${names.map(printable).join(", ")}`;
  return `${hash.slice(0, SHOWN_HASH)}, ${countText(tables, "table")}${without}`;
}

function snapshotText(
  { newest, takenAtMs, takenBy, bytes, kept, leader }: SnapshotStatus,
  nowMs: number,
): string {
  const taker = leader === undefined ? "nobody takes them now" : `node ${leader} takes them`;
  if (newest === undefined || takenAtMs === undefined) return `none known, ${taker}`;
  const facts = [
    `${printable(newest)}, ${ageText(nowMs - takenAtMs)}`,
    ...takenBy === undefined ? [] : [`by node ${takenBy}`],
    ...bytes === undefined ? [] : [bytesText(bytes)],
    ...kept ? [`${kept} kept`] : [], // The store may have been asked before the first was there.
  ];
  return `${facts.join(", ")}; ${taker}`;
}

function problemsOf({ database, snapshot, deadLoops }: NodeStatus): string[] {
  const told = [database.problem, snapshot?.problem, snapshot?.failure].flatMap((problem) => problem ?? []);
  return [...told.map(printable), ...deadLoops.map((loop) => `${printable(loop)} has ended`)];
}

const COLUMNS = ["NODE", "HOST", "STATE", "NATS", "LAG", "PENDING", "SCHEMA", "CONFLICTS"];

function renderCluster({ node, nodes, problem }: StatusReport): string[] {
  if (problem !== undefined) return [`Cluster: not known. ${printable(problem)}`];
  if (nodes.length === 0) return ["Cluster: no node answers"];
  const head = `Cluster: ${countText(nodes.length, "running node")}`;
  return [head, ...alignColumns([COLUMNS, ...nodes.map((peer) => cellsOf(peer, node))])];
}

/** The node itself has a star. */
function cellsOf({ node, status, problem }: PeerStatus, self: string): string[] {
  const name = `${node}${node === self ? "*" : ""}`;
  if (status === undefined) return [name, printable(problem ?? "does not answer")];
  return [
    name,
    printable(status.host),
    phaseText(status) + (status.paused.length > 0 ? ", paused" : ""),
    status.nats.connected ? "connected" : "away",
    lagText(status),
    String(status.pending.changes ?? UNKNOWN),
    status.schema.hash.slice(0, SHOWN_HASH),
    String(status.conflicts.kept ?? UNKNOWN),
  ];
}

function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const whole = rows.filter((cells) => cells.length === COLUMNS.length);
  const widths = COLUMNS.map((_, at) => Math.max(...whole.map((cells) => cells[at]!.length)));
  return rows.map((cells) => `  ${cells.map((cell, at) => cell.padEnd(widths[at]!)).join("  ")}`.trimEnd());
}
