import { nodeStatePath, readNodeState } from "../../src/agent/node_state.ts";
import { ClusterNode } from "./cluster.ts";
import { createDatabase } from "./database.ts";
import type { NodeOptions, Settings } from "./node_process.ts";
import { freePort } from "./nats_server.ts";
import type { TempDir } from "./temp.ts";

/** Large enough that nothing is truncated, which is not the point of these tests. */
const MAX_ENTRIES = 100_000;

/** A node with a database and a nats-server of its own; not started. */
export async function embeddedNode(
  dir: Pick<TempDir, "path" | "file">,
  id: number,
  schema: string,
  options: { readonly nats?: Settings; readonly log?: Settings; readonly args?: readonly string[] } = {},
): Promise<ClusterNode> {
  const node: NodeOptions = {
    dir: dir.path,
    nodeId: id,
    dbPath: dir.file(`node-${id}.db`),
    settings: {
      replication_log: { max_entries: MAX_ENTRIES, ...options.log },
      ...options.nats === undefined ? {} : { nats: options.nats },
    },
    ...options.args === undefined ? {} : { args: options.args },
  };
  await createDatabase(node.dbPath, schema);
  return new ClusterNode(node);
}

/** Nodes whose servers form one cluster, numbered from 1; each knows all others. */
export async function embeddedCluster(dir: TempDir, count: number, schema: string): Promise<ClusterNode[]> {
  const ids = Array.from({ length: count }, (_, index) => index + 1);
  const addresses = ids.map(() => `127.0.0.1:${freePort()}`);
  return await Promise.all(ids.map((id) => {
    const peers = addresses.filter((_, index) => index !== id - 1).map((address) => `nats://${address}`);
    const args = ["-cluster-addr", addresses[id - 1]!, "-cluster-peers", peers.join(",")];
    return embeddedNode(dir, id, schema, { args, log: { replicas: count } });
  }));
}

/** What a running node says about its server, in the file for the program's other commands. */
export function serverOf(node: ClusterNode): { url: string; port: number; monitor: string; process: number } {
  const server = readNodeState(node.dbPath)?.natsServer;
  if (server === undefined) throw new Error(`${nodeStatePath(node.dbPath)} names no server`);
  const { url, monitor = "", process = 0 } = server;
  return { url, monitor, process, port: Number(new URL(url).port) };
}

/** Whether anything listens on a port of loopback. */
export function isListening(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return false;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return true;
    throw error;
  }
}
