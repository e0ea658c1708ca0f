import { ageText, bytesText, countText, durationText } from "../lib/quantities.ts";
import type { Lag } from "./cluster_view.ts";
import type { NodeStatus, SnapshotStatus } from "./node_status.ts";

/** What a node does in its cluster. */
export function roleText({ publish, replicate, snapshot }: NodeStatus): string {
  const role = publish
    ? replicate ? "publishes and applies" : "publishes only"
    : replicate
    ? "applies only"
    : "neither publishes nor applies";
  return snapshot?.isLeader ? `${role}, takes the snapshots` : role;
}

export function lagText({ messages, ms }: Lag): string {
  if (messages === undefined) return "not known";
  if (messages === 0) return "none";
  return `${countText(messages, "message")}${ms === undefined ? "" : `, ${durationText(ms)}`}`;
}

export function pendingText({ changes, oldestAtMs }: NodeStatus["pending"], nowMs: number): string {
  if (changes === undefined) return "not known";
  const oldest = changes > 0 && oldestAtMs !== undefined ? `, the oldest ${ageText(nowMs - oldestAtMs)}` : "";
  return `${countText(changes, "change")}${oldest}`;
}

export function snapshotText(
  { newest, takenAtMs, takenBy, bytes, kept, leader, problem, failure }: SnapshotStatus,
  nowMs: number,
): string {
  const taker = leader === undefined ? "nobody takes them now" : `node ${leader} takes them`;
  const trouble = [problem, failure].flatMap((text) => text ?? []).map((text) => `; ${text}`).join("");
  if (newest === undefined || takenAtMs === undefined) return `none known; ${taker}${trouble}`;
  const facts = [
    `${newest}, ${ageText(nowMs - takenAtMs)}`,
    ...takenBy === undefined ? [] : [`by node ${takenBy}`],
    ...bytes === undefined ? [] : [bytesText(bytes)],
    ...kept ? [`${kept} kept`] : [], // The store may have been asked before the first was there.
  ];
  return `${facts.join(", ")}; ${taker}${trouble}`;
}
