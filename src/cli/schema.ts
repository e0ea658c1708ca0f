import { VERSION } from "../lib/version.ts";
import {
  type LocalSchema,
  type NodeSchemaReport,
  readClusterSchemas,
  readLocalSchema,
} from "../agent/schema_report.ts";
import { printable } from "../lib/printable.ts";
import type { TableDifference } from "../schema/differences.ts";
import { loadChoice } from "./check.ts";
import type { Command } from "./command.ts";
import { EXIT, type Io } from "./io.ts";

/** So much of a hash tells schemas apart for a person. */
const SHOWN_HASH = 8;

/** Shows which tables this database replicates, and how those of the other nodes differ from them. */
export async function schema(
  { choice, cluster, json }: Extract<Command, { name: "schema" }>,
  { stdout, signal }: Io,
): Promise<number> {
  const { config } = await loadChoice(choice);
  const local = await readLocalSchema(config, signal);
  if (!json) stdout.write(renderLocal(String(config.nodeId), local));
  const nodes = cluster ? await readClusterSchemas(config, local, signal) : undefined;
  if (json) stdout.write(`${JSON.stringify(toJson(String(config.nodeId), local, nodes))}\n`);
  else if (nodes) stdout.write(renderCluster(local, nodes));
  return nodes === undefined ? EXIT.ok : EXIT_OF[judge(local, nodes)];
}

type Verdict = "consistent" | "mismatch" | "unknown";

const EXIT_OF: Readonly<Record<Verdict, number>> = {
  consistent: EXIT.ok,
  mismatch: EXIT.failure,
  unknown: EXIT.incomplete,
};

/** `unknown`: a node does not say which schema it has. */
function judge(local: LocalSchema, nodes: readonly NodeSchemaReport[]): Verdict {
  if (nodes.some(({ hash }) => hash !== undefined && hash !== local.hash)) return "mismatch";
  return nodes.every(({ hash }) => hash !== undefined) ? "consistent" : "unknown";
}

/** The first lines are those that the Go program prints. */
function renderLocal(node: string, { hash, tables, excluded, leftOut }: LocalSchema): string {
  const list = (names: readonly string[]): string => names.map(printable).join(", ") || "none";
  const lines = [
    `Schema Status for Node ${node}`,
    `  Schema Hash: ${shortHash(hash)}`,
    `  Node ID: ${node}`,
    `  HarmonyLite Version: ${VERSION}`,
    `  Watched Tables: ${list([...tables.keys()].sort())}`,
  ];
  if (excluded.length > 0) lines.push(`  Excluded Tables: ${list(excluded)}`);
  for (const [table, reason] of leftOut) lines.push(`  Not Replicated: ${printable(table)}, as ${reason}`);
  return `${lines.join("\n")}\n`;
}

function renderCluster(local: LocalSchema, nodes: readonly NodeSchemaReport[]): string {
  const verdict = judge(local, nodes);
  const head = ["", `Cluster Schema Status (${nodes.length} ${nodes.length === 1 ? "node" : "nodes"})`];
  const status = {
    consistent: ["  Status: Consistent", `  All nodes have schema: ${shortHash(local.hash)}`],
    mismatch: ["  Status: Mismatch"],
    unknown: ["  Status: Unknown"],
  }[verdict];
  return `${[...head, ...status, ...nodes.flatMap(renderNode)].join("\n")}\n`;
}

function renderNode({ node, hash, saidAt, isRunning, differences }: NodeSchemaReport): string[] {
  const facts = [
    hash === undefined ? "does not say" : shortHash(hash),
    ...saidAt === undefined ? [] : [`said ${saidAt.replace("T", " ").slice(0, 19)}`],
    ...isRunning ? [] : ["not running"],
  ];
  return [`  Node ${node}: ${facts.join(", ")}`, ...(differences ?? []).flatMap(renderDifference)];
}

function renderDifference({ table, state, missingColumns, extraColumns, key }: TableDifference): string[] {
  const name = printable(table);
  if (state === "missing") return [`    lacks table ${name}`];
  if (state === "extra") return [`    has table ${name}, which is not here`];
  return [
    ...missingColumns.map((column) => `    lacks column ${name}.${printable(column)}`),
    ...extraColumns.map((column) => `    has column ${name}.${printable(column)}, which is not here`),
    ...key ? [`    has another key of ${name}: ${key.map(printable).join(", ")}`] : [],
  ];
}

function shortHash(hash: string): string {
  return hash.slice(0, SHOWN_HASH);
}

function toJson(node: string, local: LocalSchema, nodes: readonly NodeSchemaReport[] | undefined): unknown {
  return {
    node,
    hash: local.hash,
    version: VERSION,
    tables: [...local.tables].map(([name, { columns, key }]) => ({ name, columns: [...columns], key })),
    excluded: local.excluded,
    leftOut: Object.fromEntries(local.leftOut),
    ...nodes === undefined ? {} : { cluster: { status: judge(local, nodes), nodes } },
  };
}
