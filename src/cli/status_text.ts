import { selfOf, type StatusReport } from "../agent/status_report.ts";
import { printable } from "../lib/printable.ts";
import { lagOf, type PeerStatus } from "../observe/cluster_view.ts";
import { problemsOf } from "../observe/health.ts";
import type { NodeStatus, StreamStatus } from "../observe/node_status.ts";
import { lagText, pendingText, roleText, snapshotText } from "../observe/status_words.ts";
import { ageText, countText, durationText } from "../lib/quantities.ts";

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
    row("Pending", pendingText({ changes: facts.pending, oldestAtMs: facts.oldestPendingAtMs }, nowMs)),
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
    row("Lag", lagText(lagOf(status))),
    row("Pending", pendingText(pending, nowMs)),
    row("Published", doneText(status.published, nowMs)),
    row("Applied", doneText(status.applied, nowMs)),
    ...status.streams.map((stream) => row("Stream", streamText(stream))),
    row("Schema", schemaText(status.schema)),
    ...status.snapshot ? [row("Snapshot", printable(snapshotText(status.snapshot, nowMs)))] : [],
    row("Conflicts", `${conflicts.kept ?? UNKNOWN} kept, ${quarantined ?? UNKNOWN} messages in quarantine`),
    ...problemsOf(status).map((problem) => row("Problem", printable(problem))),
  ];
}

function row(label: string, text: string): string {
  return `  ${label.padEnd(11)}${text}`;
}

function phaseText({ phase }: NodeStatus): string {
  return phase.replaceAll("_", " ");
}

function natsText({ connected, server, embedded, sinceMs }: NodeStatus["nats"], nowMs: number): string {
  const whose = embedded ? ", its own server" : "";
  const where = server === undefined ? "" : ` ${connected ? "to" : "from"} ${printable(server)}`;
  return `${connected ? "connected" : "disconnected"}${where} for ${durationText(nowMs - sinceMs)}${whose}`;
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
    lagText(lagOf(status)),
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
