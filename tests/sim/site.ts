import type { Config } from "../../src/config/config.ts";
import { removeIfThere } from "../../src/lib/files.ts";
import type { MemoryKeyValue } from "../../src/stream/memory_key_value.ts";
import type { MemoryLog } from "../../src/stream/memory_log.ts";
import { changeLog, GLOBAL_LOG, POSITION } from "../../src/schema/names.ts";
import { quote } from "../../src/sqlite/identifier.ts";
import { type LoggedWrite, SimApplication } from "./sim_application.ts";
import { type SchemaChange, tablesAt } from "./schema_changes.ts";
import type { SimFiles } from "./sim_files.ts";
import type { PeerNetwork } from "./sim_peers.ts";
import { SimProcess } from "./sim_process.ts";
import type { SimObjects } from "./sim_store.ts";
import type { SimTable } from "./tables.ts";
import type { Limits } from "./terms.ts";
import type { VirtualTime } from "./virtual_time.ts";

/** What a node leaves free in a message for headers and framing. */
const MESSAGE_OVERHEAD_BYTES = 4096;

export interface SiteOptions {
  /** From 1. */
  readonly number: number;
  readonly config: Config;
  readonly limits: Limits;
  readonly log: MemoryLog;
  readonly store: MemoryKeyValue;
  readonly objects: SimObjects;
  readonly network: PeerNetwork;
  readonly files: SimFiles;
  readonly time: VirtualTime;
  /** Tables at the start, and how the schema goes on. */
  readonly tables: readonly SimTable[];
  readonly schemaChanges: readonly SchemaChange[];
  readonly recursiveTriggers: boolean;
  readonly say: (text: string) => void;
}

/** A copy of a node's database file, taken while nobody wrote. */
export interface Copy {
  readonly path: string;
  /** Number of the node that it was taken of. */
  readonly of: number;
}

/** Writes that went with a disk, and those that came back with a copy, not known to be in the streams. */
export interface Replaced {
  readonly lost: LoggedWrite[];
  readonly back: LoggedWrite[];
}

/** By stream. `created`: which of those that had the name one after the other; empty while a node starts over. */
export type Positions = ReadonlyMap<string, { readonly created: string; readonly sequence: number }>;

/** What a node starts with: its database, an empty file that its application has open, or nothing. */
export type Beginning = "database" | "empty file" | "nothing";

/** One node: its database file, its application, its process, its clock. */
export class Site implements Disposable {
  readonly number: number;
  readonly id: bigint;
  readonly path: string;
  /** How far the clock of its machine is off, milliseconds. */
  skewMs = 0;
  readonly #options: SiteOptions;
  readonly #clock: () => number;
  /** How many schema changes it has made. */
  #level = 0;
  #limits: Limits;
  #isCut = false;
  #copies = 0;
  #application: SimApplication | undefined;
  #process: SimProcess | undefined;

  constructor(options: SiteOptions) {
    const { number, config, limits, time } = options;
    this.number = number;
    this.id = config.nodeId;
    this.path = config.dbPath;
    this.#options = options;
    this.#limits = limits;
    this.#clock = () => time.nowMs + this.skewMs;
  }

  get application(): SimApplication {
    return this.#application!;
  }

  get process(): SimProcess {
    return this.#process!;
  }

  /** Whether it can neither send nor get anything. */
  get isCut(): boolean {
    return this.#isCut;
  }

  get limits(): Limits {
    return this.#limits;
  }

  /** Tables whose changes the node captures. */
  get followedTables(): SimTable[] {
    const { tables } = this.process.replica.schema.current;
    return this.application.tables.filter(({ name }) => tables.has(name));
  }

  async start(beginning: Beginning = "database"): Promise<void> {
    if (beginning !== "nothing") this.#application = this.#openApplication();
    await this.#startProcess();
    this.#application ??= this.#openApplication();
    this.#level = this.#application.level;
    this.#application.useTables(this.#tables());
  }

  #openApplication(): SimApplication {
    const { recursiveTriggers } = this.#options;
    return new SimApplication(this.path, this.#tables(), { clock: this.#clock, recursiveTriggers });
  }

  /** The node is killed and started again with these limits; its application goes on. */
  async crash(limits: Limits): Promise<void> {
    this.process.kill();
    this.#limits = limits;
    await this.#startProcess();
  }

  setCut(isCut: boolean): void {
    this.#isCut = isCut;
    this.#options.log.setConnected(!isCut);
    this.#options.store.setConnected(!isCut);
  }

  /** Whether schema changes are to come, or the node has not noticed all that were made. */
  get isSchemaBehind(): boolean {
    return this.#level < this.#options.schemaChanges.length || !this.#hasNoticed;
  }

  get #hasNoticed(): boolean {
    return this.process.replica.schema.isCurrent();
  }

  /**
   * Makes the next schema change; undefined when there is none left. A column that was renamed cannot be dropped before
   * the node has noticed: SQLite refuses that.
   */
  alter(): SchemaChange | undefined {
    const change = this.#options.schemaChanges[this.#level];
    if (!change || (change.isDrop && !this.#hasNoticed)) return undefined;
    this.#level++;
    this.application.alter(change.sql, this.#tables(), this.#level);
    return change;
  }

  save(): Copy {
    const path = `${this.path}-copy-${++this.#copies}`;
    this.application.checkpoint();
    Deno.copyFileSync(this.path, path);
    return { path, of: this.number };
  }

  /** The machine dies with its disk, and starts again with a copy. */
  async restore(copy: Copy): Promise<Replaced> {
    const lost = this.#die();
    Deno.copyFileSync(copy.path, this.path);
    await this.start();
    return { lost, back: this.application.readPending() };
  }

  /** The machine dies with its disk, and starts again with nothing, or with an empty file. */
  async lose(beginning: Beginning): Promise<Replaced> {
    const lost = this.#die();
    this.removeSequenceMap();
    await this.start(beginning);
    return { lost, back: this.application.readPending() };
  }

  removeSequenceMap(): void {
    removeIfThere(this.#options.config.seqMapPath);
  }

  /** Returns the writes that go with its disk. */
  #die(): LoggedWrite[] {
    const lost = this.application.readPending();
    this[Symbol.dispose]();
    this.#application = undefined;
    for (const end of ["", "-wal", "-shm"]) removeIfThere(this.path + end);
    return lost;
  }

  /** How many changes are captured and not known to be in the streams. */
  get pending(): number {
    return Number(this.application.all(`SELECT count(*) FROM ${quote(GLOBAL_LOG)}`)[0]![0]);
  }

  /** Sequence of the last own change in a stream, of those that the change logs still hold; 0 without one. */
  lastSent(stream: string): number {
    const shard = Number(stream.split("-").at(-1));
    const logs = this.followedTables.map(({ name }) => quote(changeLog(name)));
    const last = logs.map((log) =>
      this.application.all(`SELECT max(sequence) FROM ${log} WHERE shard = ${shard}`)
    );
    return Math.max(0, ...last.map(([row]) => Number(row?.[0] ?? 0)));
  }

  /** How far it has applied each stream. */
  positions(): Positions {
    const rows = this.application.all(
      `SELECT stream, created, sequence FROM ${quote(POSITION)} ORDER BY stream`,
    );
    return new Map(rows.map(([stream, created, sequence]) => [
      String(stream),
      { created: String(created), sequence: Number(sequence) },
    ]));
  }

  [Symbol.dispose](): void {
    this.#process?.kill();
    this.#application?.[Symbol.dispose]();
  }

  #tables(): SimTable[] {
    const { tables, schemaChanges } = this.#options;
    return tablesAt(tables, schemaChanges, this.#level);
  }

  async #startProcess(): Promise<void> {
    const { maxBatch, maxMessageBytes, compress } = this.#limits;
    const { config, ...others } = this.#options;
    this.#process = await SimProcess.start({
      ...others,
      config: { ...config, replicationLog: { ...config.replicationLog, maxBatch, compress } },
      maxPayload: MESSAGE_OVERHEAD_BYTES + maxMessageBytes,
      clock: this.#clock,
      isCut: () => this.#isCut,
    });
  }
}
