import { lockHolder } from "../capture/process_lock.ts";
import type { Config } from "../config/config.ts";
import { HarmonyLiteError } from "../lib/errors.ts";
import { silentLogger } from "../observe/logger.ts";
import type { PeerStatus } from "../observe/cluster_view.ts";
import type { NodeStatus } from "../observe/node_status.ts";
import { askForStatus } from "./cluster_status.ts";
import { type DatabaseFacts, FactReader } from "./database_facts.ts";
import { connectBeside, type LogConnection } from "./log_connection.ts";

/** What can be told of a node, whether it runs or not, and of the cluster, whether NATS can be reached or not. */
export interface StatusReport {
  /** Id of the node that the configuration is for, in decimal. */
  readonly node: string;
  readonly database: string;
  /** Whether a process has the lock of the database, and its id. */
  readonly isRunning: boolean;
  readonly process: number | undefined;
  /** What stands in the database, or why that cannot be read. */
  readonly facts: DatabaseFacts | undefined;
  readonly factsProblem: string | undefined;
  /** All nodes of the cluster that run. */
  readonly nodes: readonly PeerStatus[];
  /** Why they could not be asked. */
  readonly problem: string | undefined;
}

/** What the node itself says; undefined when it does not run or cannot be reached. */
export function selfOf({ node, process, nodes }: StatusReport): NodeStatus | undefined {
  const own = nodes.filter((each) => each.node === node).flatMap(({ status }) => status ?? []);
  // Two nodes may have been given one id.
  return own.find((status) => status.process === process) ?? own[0];
}

/** Looks at a node and its cluster as often as it is asked to. */
export class StatusReader implements AsyncDisposable {
  readonly #config: Config;
  readonly #facts: FactReader;
  #connection: LogConnection | undefined;

  constructor(config: Config) {
    // A command tells that NATS is away rather than wait for it.
    this.#config = { ...config, nats: { ...config.nats, connectRetries: 1 } };
    this.#facts = new FactReader(config.dbPath);
  }

  async read(signal: AbortSignal): Promise<StatusReport> {
    const { nodeId, dbPath } = this.#config;
    const holder = lockHolder(dbPath);
    const [{ facts, problem: factsProblem }, cluster] = await Promise.all([
      this.#facts.read(),
      this.#cluster(signal),
    ]);
    return {
      node: String(nodeId),
      database: dbPath,
      isRunning: holder !== undefined,
      process: holder?.process,
      facts,
      factsProblem,
      ...cluster,
    };
  }

  async #cluster(signal: AbortSignal): Promise<Pick<StatusReport, "nodes" | "problem">> {
    try {
      // What is lost may be back at another port.
      if (this.#connection?.link.connected === false) await this.#disconnect();
      const options = { signal, logger: silentLogger, onlyAsks: true };
      this.#connection ??= await connectBeside(this.#config, options);
      return { nodes: await askForStatus(this.#connection.peers, signal), problem: undefined };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof HarmonyLiteError)) throw error;
      return { nodes: [], problem: error.message };
    }
  }

  async #disconnect(): Promise<void> {
    await this.#connection?.[Symbol.asyncDispose]();
    this.#connection = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#facts[Symbol.dispose]();
    await this.#disconnect();
  }
}
