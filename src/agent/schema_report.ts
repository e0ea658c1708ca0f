import type { Config } from "../config/config.ts";
import { silentLogger } from "../observe/logger.ts";
import type { KnownColumns } from "../schema/cluster_schemas.ts";
import { differencesOf, type TableDifference } from "../schema/differences.ts";
import { readChosenTables } from "../schema/followed_tables.ts";
import { type AnnouncedSchema, knownColumns } from "../schema/registry_entry.ts";
import { Database } from "../sqlite/database.ts";
import { FIND_TIMEOUT_MS } from "./cluster_status.ts";
import { connectBeside } from "./log_connection.ts";

/** The schema of a database as replication sees it, whether a node runs or not. */
export interface LocalSchema {
  /** SHA-256, hex. */
  readonly hash: string;
  readonly tables: ReadonlyMap<string, KnownColumns>;
  /** Tables that are not followed by the user's choice. */
  readonly excluded: readonly string[];
  /** Tables that cannot be followed, with the reason. */
  readonly leftOut: ReadonlyMap<string, string>;
}

export async function readLocalSchema(
  { dbPath, tables: filter }: Config,
  signal: AbortSignal,
): Promise<LocalSchema> {
  using database = Database.open(dbPath, { readOnly: true });
  const { hash, tables, passedOver, leftOut } = await database.read(
    () => readChosenTables(database, filter),
    signal,
  );
  const known = new Map(tables.map((table) => [table.name, knownColumns(table)]));
  return { hash, tables: known, excluded: [...passedOver].sort(), leftOut };
}

/** What a node of the cluster has said of its schema, against that of the database here. */
export interface NodeSchemaReport {
  /** In decimal. */
  readonly node: string;
  /** Undefined when it does not say. */
  readonly hash: string | undefined;
  /** When it said so, ISO 8601; undefined for the database here, which was read just now. */
  readonly saidAt: string | undefined;
  readonly isRunning: boolean;
  /** Undefined when it says no more than its hash. */
  readonly differences: readonly TableDifference[] | undefined;
}

/** The schemas of all nodes that ever said theirs, by node; this database's as it is now. */
export async function readClusterSchemas(
  config: Config,
  local: LocalSchema,
  signal: AbortSignal,
): Promise<NodeSchemaReport[]> {
  await using connection = await connectBeside(config, { signal, logger: silentLogger, onlyAsks: true });
  const [announced, peers] = await Promise.all([
    connection.registry.announced(signal),
    connection.peers.find({ timeoutMs: FIND_TIMEOUT_MS, signal }),
  ]);
  const running = new Set(peers.map(({ node }) => String(node)));
  const self = String(config.nodeId);
  const others = announced.filter(({ node }) => node !== self);
  const silent = [...running].filter((node) => node !== self && !others.some((other) => other.node === node));
  const reports = [
    { node: self, hash: local.hash, saidAt: undefined, differences: [] },
    ...others.map((entry) => reportOf(entry, local)),
    ...silent.map((node) => ({ node, hash: undefined, saidAt: undefined, differences: undefined })),
  ];
  return reports
    .map((report) => ({ ...report, isRunning: running.has(report.node) }))
    .sort((a, b) => Number(BigInt(a.node) - BigInt(b.node)));
}

function reportOf(
  { node, hash, updatedAt, tables }: AnnouncedSchema,
  local: LocalSchema,
): Omit<NodeSchemaReport, "isRunning"> {
  const differences = tables && differencesOf(local.tables, tables);
  return { node, hash, saidAt: updatedAt, differences };
}
