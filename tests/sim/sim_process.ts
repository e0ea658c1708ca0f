import { NodeLoops } from "../../src/agent/node.ts";
import { Replica } from "../../src/agent/replica.ts";
import type { Config } from "../../src/config/config.ts";
import type { Logger } from "../../src/observe/logger.ts";
import { SchemaRegistry } from "../../src/schema/registry.ts";
import type { Database } from "../../src/sqlite/database.ts";
import { MemoryBuckets, type MemoryKeyValue } from "../../src/stream/memory_key_value.ts";
import type { MemoryLog } from "../../src/stream/memory_log.ts";
import { askToVerify } from "../../src/verify/protocol.ts";
import type { NodeResult } from "../../src/verify/verify.ts";
import { Gates } from "./gates.ts";
import { julianDay } from "./sim_application.ts";
import { SimLog } from "./sim_log.ts";
import type { PeerNetwork } from "./sim_peers.ts";
import { Violation } from "./violation.ts";
import type { VirtualTime } from "./virtual_time.ts";

export interface SimProcessOptions {
  readonly config: Config;
  /** The largest message that its server takes, bytes. */
  readonly maxPayload: number;
  readonly log: MemoryLog;
  readonly store: MemoryKeyValue;
  readonly network: PeerNetwork;
  /** Whether it can reach nobody at this moment. */
  readonly isCut: () => boolean;
  readonly time: VirtualTime;
  /** What the clock of its machine says, Unix milliseconds. */
  readonly clock: () => number;
  /** Told of what it does. */
  readonly say: (text: string) => void;
}

/**
 * The process of one node: the loops of the program itself, on a real database file. Wherever one of them waits for the
 * database or for the streams it waits at a gate, so that anything can be put between any two steps of it, its death too.
 */
export class SimProcess {
  readonly gates = new Gates();
  readonly replica: Replica;
  /** Why it has ended, if it has: it never should. */
  failure: unknown;
  readonly #time: VirtualTime;
  readonly #network: PeerNetwork;
  readonly #peers: ReturnType<PeerNetwork["connect"]>;

  private constructor(replica: Replica, { time, network, isCut }: SimProcessOptions) {
    this.replica = replica;
    this.#time = time;
    this.#network = network;
    this.#peers = network.connect(this, this.gates, isCut);
  }

  static async start(options: SimProcessOptions): Promise<SimProcess> {
    const { config, maxPayload, log, store, time, clock, say } = options;
    const forever = new AbortController().signal;
    const logger = simLogger(say);
    const replica = await Replica.open(config, { signal: forever, logger });
    const process = new SimProcess(replica, options);
    const { gates } = process;
    for (const database of [replica.database, replica.reader, replica.comparer]) {
      database.exec("PRAGMA synchronous = OFF");
      database.defineFunction("julianday", () => julianDay(clock()));
      holdAtGates(database, gates);
    }
    const registry = new SchemaRegistry({ store, node: config.nodeId, logger, now: () => time.nowMs });
    const connection = {
      log: new SimLog(log, gates, { maxPayload, say }),
      registry,
      peers: process.#peers,
      // Doubled ids are among what is simulated; that they are noticed is tested elsewhere.
      generations: () => Promise.reject(new Error("there is no store")),
      nodes: new MemoryBuckets().connect({ bucket: "nodes", folder: "", replicas: 1 }),
      leases: new MemoryBuckets().connect({ bucket: "leases", folder: "", replicas: 1 }),
      openStore: () => Promise.reject(new Error("There are no snapshots in this simulation")),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const loops = new NodeLoops(replica, {
      watcher: { run: () => Promise.resolve() },
      connect: () => Promise.resolve(connection),
    });
    const fail = (error: unknown): void => void (process.failure = error);
    await time.run(process, () => void loops.run(forever).then(() => fail("it ended"), fail));
    return process;
  }

  /** The files were written, and the system says so. */
  async notice(): Promise<void> {
    await this.#time.run(this, () => this.replica.notify());
  }

  /** Compares its rows with those of the nodes that it can reach, as an operator asks it to. */
  verify(options: { readonly repair: boolean }): Promise<NodeResult[]> {
    const { self, peers } = this.#network.operator(this);
    const { signal } = new AbortController();
    return askToVerify(peers, self, { ...options, timeoutMs: Infinity, signal });
  }

  /** It dies at once: nothing is left of it but its database file. */
  kill(): void {
    this.#peers.kill();
    this.gates.close();
    this.#time.forget(this);
    this.replica[Symbol.dispose]();
  }
}

/** Every transaction waits at a gate before it begins; what only looks does not. */
function holdAtGates(database: Database, gates: Gates): void {
  const { write, read } = database;
  database.write = async (work, signal) => {
    await gates.wait("write");
    return await write.call(database, work, signal) as Awaited<ReturnType<typeof work>>;
  };
  database.read = async (work, signal) => {
    await gates.wait("snapshot");
    return await read.call(database, work, signal) as Awaited<ReturnType<typeof work>>;
  };
}

const ROWS_DIFFER = "Rows differ from those of another node";

/** A node complains about nothing that the simulation does to it. */
export function simLogger(say: (text: string) => void): Logger {
  return {
    debug: () => {},
    info: () => {},
    warn: (message, { reason } = {}) => say(`warns: ${message}${reason === undefined ? "" : `: ${reason}`}`),
    error: (message, { reason } = {}) => {
      // Whether they do is what the simulation judges by itself.
      if (message === ROWS_DIFFER) return say("finds rows that differ");
      throw new Violation(`COMPLAINT: ${message}: ${reason}`);
    },
  };
}
