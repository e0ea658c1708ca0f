import { NODE } from "../schema/names.ts";
import { quote } from "../sqlite/identifier.ts";
import { type Check, ok, warn } from "./check.ts";

/** Whether the database was made by this node, or comes from another one. */
export const owner: Check = {
  name: "owner",
  run: async (patient, signal) => {
    const { nodeId } = patient.config;
    const found = await patient.readOwn(
      NODE,
      (database) => database.value(`SELECT node FROM ${quote(NODE)} WHERE id = 1`),
      signal,
    );
    if (typeof found !== "bigint") return ok("The database belongs to no node yet");
    if (found === nodeId) return ok(`The database belongs to node ${nodeId}`);
    return warn(
      `The database belongs to node ${found}, and this is node ${nodeId}`,
      "It is a copy of that node's, or node_id was changed: the next start takes it over; make sure that no other node has this node_id.",
    );
  },
};
