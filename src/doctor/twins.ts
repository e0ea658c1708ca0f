import { type Check, fail, ok } from "./check.ts";
import type { Patient } from "./patient.ts";

/** Whether two running nodes have one id. */
export const twins: Check = {
  name: "node_ids",
  run: async (patient, signal) => {
    const found = await patient.findNodes(signal);
    const ids = found.map(({ node }) => node);
    const doubled = [...new Set(ids.filter((id, at) => ids.indexOf(id) !== at))];
    if (doubled.length === 0) {
      return ok(ids.length === 0 ? "No node answers" : `Nodes that run: ${ids.join(", ")}`);
    }
    const lines = await Promise.all(doubled.map((id) => describe(patient, id, signal)));
    return fail(
      `Two nodes run with the same node_id: ${doubled.join(", ")}`,
      "Give one of them a node_id of its own and start it again; none of their changes is lost until then.",
      { details: lines },
    );
  },
};

/** The one that has told of itself last. */
async function describe({ nats }: Patient, id: bigint, signal: AbortSignal): Promise<string> {
  const bytes = await nats.instances.get(`node-${id}`, signal);
  try {
    const { host, database, process } = JSON.parse(new TextDecoder().decode(bytes));
    return `node ${id}: one of them is ${host}: ${database}, process ${process}`;
  } catch {
    return `node ${id}: neither says where it runs`; // No entry, or not one of ours.
  }
}
