import type { Config } from "../config/config.ts";
import type { InspectedConfig } from "../config/load.ts";
import { HarmonyLiteError } from "../lib/errors.ts";
import { hasTable } from "../schema/own_tables.ts";
import type { Generations } from "../snapshot/generations.ts";
import type { SnapshotStore } from "../snapshot/store.ts";
import type { Database } from "../sqlite/database.ts";
import type { ClockReading, JetStreamInspector } from "../stream/inspection.ts";
import type { KeyValueStore } from "../stream/key_value.ts";
import type { NodeStatus } from "../observe/node_status.ts";
import type { Peer } from "../stream/peers.ts";

/** Something cannot be looked at: checks that need it are skipped, for this reason. */
export class Unavailable extends HarmonyLiteError {
  override name = "Unavailable";

  constructor(reason: string) {
    super("UNAVAILABLE", reason);
  }
}

/** A connection to the servers of the cluster. */
export interface NatsDesk {
  /** `host:port` of the server that let us in. */
  readonly server: string;
  /** How long it took to answer, milliseconds. */
  readonly rttMs: number;
  readonly inspector: JetStreamInspector;
  /** The nodes that run. */
  readonly findNodes: (signal: AbortSignal) => Promise<Peer[]>;
  /** What these say of themselves; those that do not answer in time are left out. */
  readonly askNodes: (nodes: readonly Peer[], signal: AbortSignal) => Promise<NodeAnswer[]>;
  /** The schema registry. */
  readonly registry: KeyValueStore;
  /** Who runs under which node id. */
  readonly instances: KeyValueStore;
}

/** What a node said of itself. */
export interface NodeAnswer {
  readonly status: NodeStatus;
  /** How far this machine's clock was ahead of the node's. */
  readonly clock: ClockReading;
}

/** The snapshots of the cluster, while they are looked at. */
export interface SnapshotDesk extends AsyncDisposable {
  readonly store: SnapshotStore;
  readonly generations: Generations;
}

/** The mirror of the positions in a file. */
export interface SequenceMapFile {
  /** Undefined when there is none; throws when it cannot be understood. */
  read(): ReadonlyMap<string, number> | undefined;
  write(sequences: ReadonlyMap<string, number>): void;
}

/** What was tried, and what became of it. */
export type Attempt<T> = { readonly value: T } | { readonly failure: HarmonyLiteError };

/** What is examined. Whoever admits it opens and closes all of it. */
export interface Surroundings {
  readonly inspected: InspectedConfig;
  /** The process that replicates the database on this machine, if one does. */
  readonly process: number | undefined;
  /** `http://127.0.0.1:8222` of the node's own server, when it has a monitor. */
  readonly monitor: string | undefined;
  /** A connection that may not write. */
  readonly database: Attempt<Database>;
  readonly nats: Attempt<NatsDesk>;
  readonly openSnapshots: () => Promise<SnapshotDesk>;
  readonly sequenceMap: SequenceMapFile;
}

/** An installation under examination: what could be had of it, and why not the rest. */
export class Patient {
  readonly #surroundings: Surroundings;
  #nodes: readonly Peer[] | undefined;
  #answers: readonly NodeAnswer[] | undefined;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  /** With defaults where a setting could not be read. */
  get config(): Config {
    return this.#surroundings.inspected.config;
  }

  get inspected(): InspectedConfig {
    return this.#surroundings.inspected;
  }

  get process(): number | undefined {
    return this.#surroundings.process;
  }

  get monitor(): string | undefined {
    return this.#surroundings.monitor;
  }

  get sequenceMap(): SequenceMapFile {
    return this.#surroundings.sequenceMap;
  }

  /** Throws Unavailable when the configuration does not say where the database is. */
  get dbPath(): string {
    const { dbPath } = this.config;
    if (dbPath === "") throw new Unavailable("the configuration does not say where the database is");
    return dbPath;
  }

  /** Why the database could not be opened, if so. */
  get databaseFailure(): HarmonyLiteError | undefined {
    const { database } = this.#surroundings;
    return "failure" in database ? database.failure : undefined;
  }

  /** Throws Unavailable when it cannot be opened. */
  get database(): Database {
    const { database } = this.#surroundings;
    if ("value" in database) return database.value;
    const { code, message } = database.failure;
    throw new Unavailable(REASONS[code] ?? message);
  }

  get natsFailure(): HarmonyLiteError | undefined {
    const { nats } = this.#surroundings;
    return "failure" in nats ? nats.failure : undefined;
  }

  /** Throws Unavailable when NATS cannot be reached. */
  get nats(): NatsDesk {
    const { nats } = this.#surroundings;
    if ("value" in nats) return nats.value;
    throw new Unavailable("NATS cannot be reached");
  }

  /** The nodes that ran when this was first asked. */
  async findNodes(signal: AbortSignal): Promise<readonly Peer[]> {
    return this.#nodes ??= await this.nats.findNodes(signal);
  }

  /** What the running nodes said of themselves when this was first asked. */
  async askNodes(signal: AbortSignal): Promise<readonly NodeAnswer[]> {
    return this.#answers ??= await this.nats.askNodes(await this.findNodes(signal), signal);
  }

  /** What the node of this configuration said of itself; undefined when it does not answer, or NATS does not. */
  async askOwn(signal: AbortSignal): Promise<NodeStatus | undefined> {
    if (this.natsFailure) return undefined;
    const own = String(this.config.nodeId);
    return (await this.askNodes(signal)).find(({ status }) => status.node === own)?.status;
  }

  /** Whether the node runs: here, or where only NATS sees it, as in a container. */
  async runs(signal: AbortSignal): Promise<boolean> {
    return this.process !== undefined || await this.askOwn(signal) !== undefined;
  }

  /** Throws Unavailable where snapshots are not wanted; rejects as the store does. */
  async openSnapshots(): Promise<SnapshotDesk> {
    const { snapshot } = this.config;
    if (!snapshot.enabled) throw new Unavailable("snapshot.enabled is false");
    if (snapshot.store === "nats") this.nats;
    return await this.#surroundings.openSnapshots();
  }

  /** Runs `work` on one read snapshot of the database. */
  async read<T>(work: (database: Database) => T, signal: AbortSignal): Promise<T> {
    const { database } = this;
    return await database.read(() => work(database), signal);
  }

  /** Likewise where one of our tables is; throws Unavailable when it is not there. */
  async readOwn<T>(table: string, work: (database: Database) => T, signal: AbortSignal): Promise<T> {
    return await this.read((database) => {
      if (!hasTable(database, table)) throw new Unavailable("no node has worked on this database yet");
      return work(database);
    }, signal);
  }
}

/** Where the database is looked at by a check of its own, which says more. */
const REASONS: Readonly<Record<string, string>> = {
  DATABASE_MISSING: "there is no database",
  DATABASE_LOCKED: "the database is locked",
  DATABASE_INTERRUPTED: "a transaction was interrupted, and has to be undone first",
  NOT_A_DATABASE: "the file is no SQLite database",
};
