import { NodeLoops } from "../../src/agent/node.ts";
import { NodeObserver } from "../../src/agent/node_observer.ts";
import { requireDatabase } from "../../src/agent/recovery.ts";
import { generationsOf } from "../../src/agent/save_snapshot.ts";
import { Replica } from "../../src/agent/replica.ts";
import type { Config } from "../../src/config/config.ts";
import type { Logger } from "../../src/observe/logger.ts";
import { SchemaRegistry } from "../../src/schema/registry.ts";
import type { Generations } from "../../src/snapshot/generations.ts";
import type { Generation } from "../../src/snapshot/manifest.ts";
import { takeSnapshot } from "../../src/snapshot/take.ts";
import { Database } from "../../src/sqlite/database.ts";
import type { KeyValueStore } from "../../src/stream/key_value.ts";
import { MemoryBuckets, type MemoryKeyValue } from "../../src/stream/memory_key_value.ts";
import type { MemoryLog } from "../../src/stream/memory_log.ts";
import { askToVerify } from "../../src/verify/protocol.ts";
import type { NodeResult } from "../../src/verify/comparison.ts";
import { Gates } from "./gates.ts";
import { julianDay } from "./sim_application.ts";
import type { SimFiles } from "./sim_files.ts";
import { SimLog } from "./sim_log.ts";
import type { PeerNetwork } from "./sim_peers.ts";
import { type SimObjects, SimStore } from "./sim_store.ts";
import { Violation } from "./violation.ts";
import type { VirtualTime } from "./virtual_time.ts";

export interface SimProcessOptions {
  readonly config: Config;
  /** The largest message that its server takes, bytes. */
  readonly maxPayload: number;
  readonly log: MemoryLog;
  readonly store: MemoryKeyValue;
  /** What the snapshot store holds. */
  readonly objects: SimObjects;
  readonly network: PeerNetwork;
  readonly files: SimFiles;
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
  readonly #options: SimProcessOptions;
  readonly #generations: Generations;
  readonly #peers: ReturnType<PeerNetwork["connect"]>;

  private constructor(replica: Replica, options: SimProcessOptions) {
    const { gates } = this;
    this.replica = replica;
    this.#options = options;
    this.#generations = generationsOf(options.config, storeOf(options, gates));
    this.#peers = options.network.connect(this, gates, options.isCut);
  }

  static async start(options: SimProcessOptions): Promise<SimProcess> {
    const { config, maxPayload, log, store, time, clock, say } = options;
    const forever = new AbortController().signal;
    const logger = simLogger(say);
    // What may happen to a node before it follows its database is tested elsewhere.
    const opened = {
      store: storeOf(options, undefined),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    await requireDatabase(config, { openStore: () => Promise.resolve(opened), signal: forever, logger });
    const replica = await Replica.open(config, { signal: forever, logger });
    const process = new SimProcess(replica, options);
    const { gates } = process;
    for (const database of [replica.database, replica.reader, replica.comparer]) {
      database.exec("PRAGMA synchronous = OFF");
      database.defineFunction("julianday", () => julianDay(clock()));
      holdAtGates(database, gates);
    }
    holdLooksAtGates(replica.comparer, gates);
    const registry = new SchemaRegistry({ store, node: config.nodeId, logger, now: () => time.nowMs });
    const connection = {
      link: { connected: true, server: "simulated", sinceMs: 0 },
      log: new SimLog(log, gates, { maxPayload, say }),
      registry,
      peers: process.#peers,
      // Doubled ids are among what is simulated; that they are noticed is tested elsewhere.
      nodes: new MemoryBuckets().connect({ bucket: "nodes", folder: "", replicas: 1 }),
      leases: ANOTHERS,
      openStore: () => Promise.resolve(storeOf(options, gates)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const loops = new NodeLoops(replica, new NodeObserver(replica), {
      watcher: { run: () => Promise.resolve() },
      connect: () => Promise.resolve(connection),
    });
    const fail = (error: unknown): void => void (process.failure = error);
    await time.run(process, () => void loops.run(forever).then(() => fail("it ended"), fail));
    return process;
  }

  /** The files were written, and the system says so. */
  async notice(): Promise<void> {
    await this.#options.time.run(this, () => this.replica.notify());
  }

  /** Compares its rows with those of the nodes that it can reach, as an operator asks it to. */
  verify(options: { readonly repair: boolean }): Promise<NodeResult[]> {
    const { self, peers } = this.#options.network.operator(this);
    const { signal } = new AbortController();
    return askToVerify(peers, self, { ...options, timeoutMs: Infinity, signal });
  }

  /** Takes a snapshot, while its loops go on. */
  async takeSnapshot(): Promise<Generation> {
    const { config: { dbPath, tables: filter, nodeId: node, snapshot: { keep } }, time } = this.#options;
    using database = Database.open(dbPath);
    const add: Parameters<typeof takeSnapshot>[0]["add"] = (path, facts, options) =>
      this.#generations.add(path, facts, { ...options, keep });
    const { signal } = new AbortController();
    return await takeSnapshot({ database, filter, node, add, signal, now: () => time.nowMs });
  }

  /** It dies at once: nothing is left of it but its database file. */
  kill(): void {
    this.#peers.kill();
    this.gates.close();
    this.#options.time.forget(this);
    this.#options.files.closeAll(this.replica.config.dbPath);
  }
}

/** Another process has each lease: a node takes a snapshot when a step says so. */
const ANOTHERS: KeyValueStore = {
  maxValueBytes: 1024,
  put: () => Promise.resolve(),
  list: () => Promise.resolve(undefined),
  get: () => Promise.resolve(undefined),
  entry: () => new Promise(() => {}),
  replace: () => new Promise(() => {}),
};

function storeOf({ objects, isCut, time }: SimProcessOptions, gates: Gates | undefined): SimStore {
  return new SimStore({ objects, gates, isCut, now: () => time.nowMs });
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

/** What is compared with a snapshot is looked at outside of transactions. */
function holdLooksAtGates(database: Database, gates: Gates): void {
  const { look } = database;
  database.look = async (work, signal) => {
    await gates.wait("snapshot");
    return await look.call(database, work, signal) as ReturnType<typeof work>;
  };
}

/** Whether they do is what the simulation judges by itself. */
const ROWS_DIFFER = "Rows differ from those of another node";
/** These follow from what the simulation does, and must heal. */
const TROUBLES = [
  ROWS_DIFFER,
  "Failed to restore snapshot",
  "Changes are missing: the stream no longer holds what this node has not read",
];

/** A node complains about nothing else that the simulation does to it. */
export function simLogger(say: (text: string) => void): Logger {
  return {
    debug: () => {},
    info: (_message, { rows, streams } = {}) => {
      if (streams !== undefined) say(`has taken over ${rows} rows of a snapshot of ${streams}`);
    },
    warn: (message, { reason } = {}) => say(`warns: ${message}${reason === undefined ? "" : `: ${reason}`}`),
    error: (message, { reason } = {}) => {
      if (TROUBLES.includes(message)) {
        return say(`says: ${message}${reason === undefined ? "" : `: ${reason}`}`);
      }
      throw new Violation(`COMPLAINT: ${message}: ${reason}`);
    },
  };
}
