import { readCaptureState } from "../capture/capture_state.ts";
import { countText, firstOf } from "../lib/quantities.ts";
import type { KnownColumns, NodeSchema } from "../schema/cluster_schemas.ts";
import { type FollowedTable, rowKinds } from "../schema/followed_tables.ts";
import { decodeEntry } from "../schema/registry_entry.ts";
import { type Check, ok, skipped, warn } from "./check.ts";
import type { Patient } from "./patient.ts";

const NODE_KEY = /^node-([1-9]\d{0,18})$/;
const MAX_NODES = 1_000;

/** Whether all nodes have the same tables, columns and keys. */
export const schema: Check = {
  name: "schema",
  run: async (patient, signal) => {
    const { tables } = await patient.read(
      (database) => readCaptureState(database, patient.config.tables),
      signal,
    );
    const others = await readOthers(patient, signal);
    if (others.length === 0) return skipped("no other node has told its schema yet");
    const running = new Set((await patient.findNodes(signal)).map(({ node }) => String(node)));
    const lines = others.flatMap((other) => {
      const name = `node ${other.node}${running.has(other.node) ? "" : ", which does not run,"}`;
      return differences(tables, other).map((text) => `${name} ${text}`);
    });
    if (lines.length === 0) return ok(`Equal on ${countText(others.length + 1, "node")}`);
    return warn(
      "Nodes have different tables, so some changes may have to wait",
      "Make the same CREATE, ALTER or DROP TABLE on every node; for a node that is gone for good: nats kv del harmonylite-schema-registry node-ID.",
      { details: firstOf(lines, 20) },
    );
  },
};

async function readOthers({ nats, config }: Patient, signal: AbortSignal): Promise<NodeSchema[]> {
  const state = await nats.registry.list(signal);
  const ids = (state?.keys ?? []).flatMap((key) => NODE_KEY.exec(key)?.[1] ?? []);
  const others = ids.filter((id) => BigInt(id) !== config.nodeId).slice(0, MAX_NODES);
  const read = others.map(async (id) => {
    const entry = await nats.registry.get(`node-${id}`, signal);
    return entry === undefined ? [] : [decodeEntry(id, entry)];
  });
  return (await Promise.all(read)).flat();
}

function differences(tables: readonly FollowedTable[], { tables: theirs }: NodeSchema): string[] {
  if (theirs === undefined) return ["does not say which tables it has"];
  const own = new Map(tables.map((table) => [table.name, columnsOf(table)]));
  const names = new Set([...own.keys(), ...theirs.keys()]);
  return [...names].sort().flatMap((name) => {
    const [here, there] = [own.get(name), theirs.get(name)];
    if (there === undefined) return [`has no table ${name}`];
    if (here === undefined) return [`has a table ${name}, and this one not`];
    return compare(here, there).map((text) => `${text} in ${name}`);
  });
}

function compare(here: KnownColumns, there: KnownColumns): string[] {
  const more = [...there.columns].filter((column) => !here.columns.has(column));
  const fewer = [...here.columns].filter((column) => !there.columns.has(column));
  return [
    ...more.length > 0 ? [`has further columns (${more.join(", ")})`] : [],
    ...fewer.length > 0 ? [`lacks columns (${fewer.join(", ")})`] : [],
    ...here.key.join() === there.key.join() ? [] : [`has another primary key (${there.key.join(", ")})`],
  ];
}

function columnsOf(table: FollowedTable): KnownColumns {
  return {
    columns: new Set(rowKinds(table).flatMap(({ columns }) => columns.map(({ name }) => name))),
    key: table.key.map(({ name }) => name),
  };
}
