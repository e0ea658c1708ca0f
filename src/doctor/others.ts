import { countText, durationText, firstOf } from "../lib/quantities.ts";
import { problemsOf } from "../observe/health.ts";
import type { NodeStatus } from "../observe/node_status.ts";
import { type Check, ok, skipped, warn } from "./check.ts";

/** A node that is well is not so far behind for long. */
const MAX_LAG_MS = 60_000;

/** How the other nodes are, as they say themselves. */
export const others: Check = {
  name: "other_nodes",
  run: async (patient, signal) => {
    const own = String(patient.config.nodeId);
    const found = (await patient.findNodes(signal)).filter(({ node }) => String(node) !== own);
    if (found.length === 0) return skipped("no other node runs");
    const statuses = (await patient.askNodes(signal)).map(({ status }) => status).filter(({ node }) =>
      node !== own
    );
    const silent = found.filter(({ node }) => !statuses.some((status) => status.node === String(node)));
    const lines = [
      ...statuses.flatMap((status) => complaints(status).map((text) => `node ${status.node}: ${text}`)),
      ...silent.map(({ node }) => `node ${node}: does not say how it is`),
    ];
    if (lines.length === 0) return ok(`${countText(found.length, "other node")}, all well`);
    return warn(
      `${countText(new Set(lines.map((line) => line.split(":")[0])).size, "other node")} in trouble`,
      "Run `harmonylite doctor` there.",
      { details: firstOf(lines) },
    );
  },
};

function complaints(status: NodeStatus): string[] {
  const late = status.streams.filter(({ condition, lagMs }) =>
    condition !== "unread" && (lagMs ?? 0) > MAX_LAG_MS
  );
  return [
    ...problemsOf(status),
    ...late.map(({ name, lagMs }) => `it is ${durationText(lagMs!)} behind in ${name}`),
  ];
}
