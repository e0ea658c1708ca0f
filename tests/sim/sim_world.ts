import { DatabaseSync } from "node:sqlite";
import { Replica } from "../../src/agent/replica.ts";
import type { Config } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { silentLogger } from "../../src/observe/logger.ts";
import { REGISTRY_BUCKET } from "../../src/schema/registry.ts";
import { DUPLICATE_WINDOW_MS } from "../../src/stream/stream_layout.ts";
import { MemoryBuckets } from "../../src/stream/memory_key_value.ts";
import { MemoryBroker, type MemoryLog } from "../../src/stream/memory_log.ts";
import { Random } from "./random.ts";
import { SimFiles } from "./sim_files.ts";
import { PeerNetwork } from "./sim_peers.ts";
import type { SimObjects } from "./sim_store.ts";
import { type Beginning, Site } from "./site.ts";
import { StreamArchive } from "./stream_archive.ts";
import { randomLimits, randomSkewMs, type Terms, termsOf, termsText } from "./terms.ts";
import { VirtualTime } from "./virtual_time.ts";

const START_MS = Date.UTC(2050, 0, 1);
/** Changes that a node reads before it lets others have their turn. */
const SCAN_MAX_CHANGES = 3;
const DEFAULTS = parseConfig('db_path = "/sim.db"\nnode_id = 1');

/** A cluster in one process: its streams, its nodes, its time. */
export class SimWorld implements AsyncDisposable {
  readonly terms: Terms;
  readonly time: VirtualTime;
  readonly broker: MemoryBroker;
  readonly archive: StreamArchive;
  /** What the snapshot store holds. */
  readonly objects: SimObjects = new Map();
  /** What has happened, line by line. */
  readonly trace: string[] = [];
  readonly sites: Site[] = [];
  readonly #folder: string;
  readonly #buckets = new MemoryBuckets();
  readonly #network = new PeerNetwork();
  readonly #files = new SimFiles();

  private constructor(terms: Terms, folder: string) {
    this.terms = terms;
    this.#folder = folder;
    this.time = new VirtualTime(START_MS);
    this.broker = new MemoryBroker({
      now: () => BigInt(this.time.nowMs) * 1_000_000n,
      duplicateWindowMs: DUPLICATE_WINDOW_MS,
    });
    this.archive = new StreamArchive(this.broker);
    this.trace.push(termsText(terms));
  }

  /** `folder`: an empty one, where the databases lie. */
  static async open(seed: number, folder: string): Promise<SimWorld> {
    const world = new SimWorld(termsOf(seed), folder);
    try {
      await world.#open(new Random(seed + 1));
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #open(random: Random): Promise<void> {
    await this.#createTemplate();
    for (const [at, id] of this.terms.ids.entries()) {
      const site = await this.#addSite(at + 1, id, random);
      this.sites.push(site);
      const twin = this.sites.find((each) => each.id === id && each !== site);
      // Two with one id are worst when their clocks agree.
      site.skewMs = twin && random.chance(0.7) ? twin.skewMs : randomSkewMs(random, this.terms);
      await site.start();
    }
  }

  say(site: Site, text: string): void {
    this.trace.push(`node ${site.number} ${text}`);
  }

  /** Another node joins: with a database that has the tables but no row, an empty file, or nothing. */
  async join(beginning: Beginning, random: Random): Promise<Site> {
    const number = this.sites.length + 1;
    const site = await this.#addSite(number, BigInt(number), random);
    site.skewMs = randomSkewMs(random, this.terms);
    Deno.removeSync(site.path);
    if (beginning === "database") this.#createTables(site.path, false);
    await site.start(beginning);
    this.sites.push(site);
    return site;
  }

  /** The settings of a node that is not one of the sites; its database is as theirs were at the start. */
  outsider(id: bigint): Config {
    return this.#configOf("outsider", id);
  }

  // deno-lint-ignore require-await -- as its interface has it
  async [Symbol.asyncDispose](): Promise<void> {
    for (const site of this.sites) site[Symbol.dispose]();
    this.#files[Symbol.dispose]();
    this.time[Symbol.dispose]();
  }

  async #addSite(number: number, id: bigint, random: Random): Promise<Site> {
    const log = this.#connect();
    await log.ensureStreams();
    const { time, terms: { tables, schemaChanges } } = this;
    const store = this.#buckets.connect({ bucket: REGISTRY_BUCKET, folder: "", replicas: 1 });
    const config = this.#configOf(`node-${number}`, id);
    const say = (text: string): void => this.say(site, text);
    const recursiveTriggers = random.chance(0.2);
    const limits = randomLimits(random);
    const site: Site = new Site({
      number,
      config,
      limits,
      log,
      store,
      objects: this.objects,
      network: this.#network,
      files: this.#files,
      time,
      tables,
      schemaChanges,
      recursiveTriggers,
      say,
    });
    return site;
  }

  #connect(): MemoryLog {
    return this.broker.connect({
      streamPrefix: "sim",
      subjectPrefix: "sim.changes",
      shards: this.terms.shards,
      maxEntries: 1_000_000,
      replicas: 1,
      compress: false,
      updateExisting: false,
    });
  }

  #pathOf(name: string): string {
    return `${this.#folder}/${name}.db`;
  }

  /** Each node starts with a copy of the template. */
  #configOf(name: string, nodeId: bigint): Config {
    const { maxTransactionRows, shards, versionRetentionMs } = this.terms;
    const dbPath = this.#pathOf(name);
    Deno.copyFileSync(this.#pathOf("template"), dbPath);
    return {
      ...DEFAULTS,
      dbPath,
      seqMapPath: `${dbPath}-seq-map.cbor`,
      nodeId,
      scanMaxChanges: SCAN_MAX_CHANGES,
      replicationLog: {
        ...DEFAULTS.replicationLog,
        maxTransactionRows,
        shards,
        versionRetention: versionRetentionMs,
      },
    };
  }

  /** A database with capture installed, which takes longer than to copy it. */
  async #createTemplate(): Promise<void> {
    const dbPath = this.#pathOf("template");
    this.#createTables(dbPath, this.terms.hasFirstRows);
    const forever = new AbortController().signal;
    using _replica = await Replica.open({ ...DEFAULTS, dbPath }, { signal: forever, logger: silentLogger });
  }

  #createTables(path: string, hasRows: boolean): void {
    using db = new DatabaseSync(path);
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; BEGIN");
    for (const { create, firstRows } of this.terms.tables) db.exec(`${create}; ${hasRows ? firstRows : ""}`);
    db.exec("COMMIT");
  }
}
