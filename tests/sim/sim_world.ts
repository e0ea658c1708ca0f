import { DatabaseSync } from "node:sqlite";
import { MemoryBroker } from "../../src/stream/memory_log.ts";
import { ApplicationWrites } from "./application_writes.ts";
import { Random } from "./random.ts";
import { SimApplication } from "./sim_application.ts";
import { SimNode, type SimNodeOptions } from "./sim_node.ts";
import { ADD_COLUMN, FIRST_ROWS, SCHEMA, SIM_TABLES } from "./tables.ts";

const MS = 1_000_000n;
const MINUTE_MS = 60_000;
/** Far ahead of the wall clock, which the triggers read and which must not decide anything here. */
const START_NS = BigInt(Date.UTC(2100, 0, 1)) * MS;
const LONG_RETENTION_MS = 30 * 24 * 60 * MINUTE_MS;
const SHORT_RETENTION_MS = 10 * MINUTE_MS;

/** What a seed decides once and for all. */
export interface Terms {
  readonly nodes: number;
  readonly shards: number;
  readonly tables: readonly string[];
  /** Some nodes start without a column of `plain`. */
  readonly schemasDiffer: boolean;
  /** Tombstones expire while it runs. */
  readonly expires: boolean;
  /** Batches hold whole transactions. */
  readonly wholeTransactions: boolean;
  readonly limits: Pick<SimNodeOptions, "maxBatch" | "maxMessageBytes" | "maxTransactionRows" | "compress">;
}

export function termsOf(seed: number): Terms {
  const random = new Random(seed);
  const names = SIM_TABLES.map(({ name }) => name);
  const some = names.filter(() => random.chance(0.3));
  const tables = random.chance(0.2) ? names : some.length > 0 ? some : [random.pick(names)];
  const schemasDiffer = seed % 3 === 0 && tables.includes("plain");
  const maxTransactionRows = random.pick([100_000, 100_000, 100_000, 100_000, 4, 9]);
  return {
    nodes: random.pick([2, 2, 3, 3, 4]),
    shards: random.pick([1, 1, 2, 3]),
    tables,
    schemasDiffer,
    expires: seed % 3 === 1,
    wholeTransactions: maxTransactionRows === 100_000,
    limits: {
      maxBatch: random.pick([1, 2, 3, 1000]),
      maxMessageBytes: random.pick([60, 300, 100_000]),
      maxTransactionRows,
      compress: random.chance(0.3),
    },
  };
}

/** One node with its application and its clock. */
export interface Site {
  readonly number: number;
  readonly node: SimNode;
  readonly application: SimApplication;
  /** How far its wall clock is off, milliseconds. */
  skewMs: number;
  hasColumnC: boolean;
}

/** A cluster in one process: its streams, its nodes, its time. */
export class SimWorld implements Disposable {
  readonly terms: Terms;
  readonly broker: MemoryBroker;
  readonly sites: Site[] = [];
  readonly writes: ApplicationWrites;
  readonly #folder: string;
  #time = START_NS;

  private constructor(terms: Terms, folder: string) {
    this.terms = terms;
    this.#folder = folder;
    this.broker = new MemoryBroker({ now: () => this.#time, duplicateWindowMs: 2 * MINUTE_MS });
    this.writes = new ApplicationWrites(terms.tables);
  }

  static async open(seed: number, folder: string): Promise<SimWorld> {
    using stack = new DisposableStack();
    const terms = termsOf(seed);
    const world = stack.use(new SimWorld(terms, folder));
    const random = new Random(seed + 1);
    const hasFirstRows = random.chance(0.6);
    for (let number = 1; number <= terms.nodes; number++) {
      const hasColumnC = !(terms.schemasDiffer && random.chance(0.7));
      await world.#add(number, { hasFirstRows, hasColumnC, recursiveTriggers: random.chance(0.2) });
      world.sites.at(-1)!.skewMs = random.pick([0, 0, -40_000, 40_000, 15_000]);
    }
    await world.#add(99, { hasFirstRows, hasColumnC: true, recursiveTriggers: false });
    stack.move();
    return world;
  }

  /** Nodes that take part. */
  get members(): readonly Site[] {
    return this.sites.slice(0, -1);
  }

  /** A node that never writes and has read nothing yet: what the streams alone say. */
  get reference(): Site {
    return this.sites.at(-1)!;
  }

  pass(ms: number): void {
    this.#time += BigInt(ms) * MS;
  }

  clockOf(site: Site): bigint {
    return this.#time + BigInt(site.skewMs) * MS;
  }

  addColumn(site: Site): void {
    if (!site.hasColumnC) site.application.exec(ADD_COLUMN);
    site.hasColumnC = true;
  }

  async #add(
    number: number,
    start: { hasFirstRows: boolean; hasColumnC: boolean; recursiveTriggers: boolean },
  ): Promise<void> {
    const path = `${this.#folder}/node-${number}.db`;
    createFile(path, start);
    const { terms, broker } = this;
    const log = broker.connect({
      streamPrefix: "sim",
      subjectPrefix: "sim.changes",
      shards: terms.shards,
      maxEntries: 1_000_000,
      replicas: 1,
      compress: false,
      updateExisting: false,
    });
    await log.ensureStreams();
    const node = await SimNode.start({
      path,
      id: BigInt(number),
      broker,
      log,
      shards: terms.shards,
      versionRetentionMs: terms.expires ? SHORT_RETENTION_MS : LONG_RETENTION_MS,
      ...terms.limits,
    });
    const application = new SimApplication(path, start);
    this.sites.push({ number, node, application, skewMs: 0, hasColumnC: start.hasColumnC });
  }

  [Symbol.dispose](): void {
    for (const { node, application } of this.sites) {
      application[Symbol.dispose]();
      node[Symbol.dispose]();
    }
  }
}

function createFile(path: string, start: { hasFirstRows: boolean; hasColumnC: boolean }): void {
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; BEGIN; ${SCHEMA}`);
  if (start.hasFirstRows) db.exec(FIRST_ROWS);
  if (start.hasColumnC) db.exec(ADD_COLUMN);
  db.exec("COMMIT");
  db.close();
}
