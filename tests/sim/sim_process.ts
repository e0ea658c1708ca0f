import { NodeLoops } from "../../src/agent/node.ts";
import { Replica } from "../../src/agent/replica.ts";
import type { Config } from "../../src/config/config.ts";
import type { Logger } from "../../src/observe/logger.ts";
import { SchemaRegistry } from "../../src/schema/registry.ts";
import type { Database } from "../../src/sqlite/database.ts";
import { MemoryBuckets, type MemoryKeyValue } from "../../src/stream/memory_key_value.ts";
import type { MemoryLog } from "../../src/stream/memory_log.ts";
import type { Peers } from "../../src/stream/peers.ts";
import { Gates } from "./gates.ts";
import { julianDay } from "./sim_application.ts";
import { SimLog } from "./sim_log.ts";
import { Violation } from "./violation.ts";
import type { VirtualTime } from "./virtual_time.ts";

export interface SimProcessOptions {
  readonly config: Config;
  /** The largest message that its server takes, bytes. */
  readonly maxPayload: number;
  readonly log: MemoryLog;
  readonly store: MemoryKeyValue;
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

  private constructor(replica: Replica, time: VirtualTime) {
    this.replica = replica;
    this.#time = time;
  }

  static async start(options: SimProcessOptions): Promise<SimProcess> {
    const { config, maxPayload, log, store, time, clock, say } = options;
    const forever = new AbortController().signal;
    const logger = simLogger(say);
    const replica = await Replica.open(config, { signal: forever, logger });
    const process = new SimProcess(replica, time);
    const { gates } = process;
    for (const database of [replica.database, replica.reader]) {
      database.exec("PRAGMA synchronous = OFF");
      database.defineFunction("julianday", () => julianDay(clock()));
      holdAtGates(database, gates);
    }
    const registry = new SchemaRegistry({ store, node: config.nodeId, logger, now: () => time.nowMs });
    const connection = {
      log: new SimLog(log, gates, { maxPayload, say }),
      registry,
      peers: NOBODY,
      // Doubled ids are among what is simulated; that they are noticed is tested elsewhere.
      nodes: new MemoryBuckets().connect({ bucket: "nodes", folder: "", replicas: 1 }),
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

  /** It dies at once: nothing is left of it but its database file. */
  kill(): void {
    this.gates.close();
    this.#time.forget(this);
    this.replica[Symbol.dispose]();
  }
}

/** Nodes of the simulation do not ask each other. */
const NOBODY: Peers = {
  find: () => Promise.resolve([]),
  ask: () => Promise.reject(new Error("there is nobody")),
  serve: () => new Promise(() => {}),
};

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

/** A node complains about nothing that the simulation does to it. */
export function simLogger(say: (text: string) => void): Logger {
  return {
    debug: () => {},
    info: () => {},
    warn: (message, { reason } = {}) => say(`warns: ${message}${reason === undefined ? "" : `: ${reason}`}`),
    error: (message, { reason } = {}) => {
      throw new Violation(`COMPLAINT: ${message}: ${reason}`);
    },
  };
}
