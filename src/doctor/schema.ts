import { readCaptureState } from "../capture/capture_state.ts";
import { countText, firstOf } from "../lib/quantities.ts";
import { differencesOf, type TableDifference } from "../schema/differences.ts";
import { readAnnounced } from "../schema/registry.ts";
import { knownColumns } from "../schema/registry_entry.ts";
import { type Check, ok, skipped, warn } from "./check.ts";

/** Whether all nodes have the same tables, columns and keys. */
export const schema: Check = {
  name: "schema",
  run: async (patient, signal) => {
    const { tables } = await patient.read(
      (database) => readCaptureState(database, patient.config.tables),
      signal,
    );
    const here = new Map(tables.map((table) => [table.name, knownColumns(table)]));
    const self = String(patient.config.nodeId);
    const announced = await readAnnounced(patient.nats.registry, signal);
    const others = announced.filter(({ node }) => node !== self);
    if (others.length === 0) return skipped("no other node has told its schema yet");
    const running = new Set((await patient.findNodes(signal)).map(({ node }) => String(node)));
    const lines = others.flatMap(({ node, tables: there }) => {
      const name = `node ${node}${running.has(node) ? "" : ", which does not run,"}`;
      const texts = there
        ? differencesOf(here, there).flatMap(describe)
        : ["does not say which tables it has"];
      return texts.map((text) => `${name} ${text}`);
    });
    if (lines.length === 0) return ok(`Equal on ${countText(others.length + 1, "node")}`);
    return warn(
      "Nodes have different tables, so some changes may have to wait",
      "Make the same CREATE, ALTER or DROP TABLE on every node; for a node that is gone for good: nats kv del harmonylite-schema-registry node-ID.",
      { details: firstOf(lines, 20) },
    );
  },
};

function describe({ table, state, missingColumns, extraColumns, key }: TableDifference): string[] {
  if (state === "missing") return [`has no table ${table}`];
  if (state === "extra") return [`has a table ${table}, and this one not`];
  return [
    ...extraColumns.length > 0 ? [`has further columns (${extraColumns.join(", ")}) in ${table}`] : [],
    ...missingColumns.length > 0 ? [`lacks columns (${missingColumns.join(", ")}) in ${table}`] : [],
    ...key ? [`has another primary key (${key.join(", ")}) in ${table}`] : [],
  ];
}
