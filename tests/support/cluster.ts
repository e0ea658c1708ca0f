import assert from "node:assert/strict";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { assertSameContent, createDatabase, runSql } from "./database.ts";
import { eventually } from "./eventually.ts";
import { type NatsServer, startNatsServer } from "./nats_server.ts";
import { type NodeOptions, type Settings, startNode, startNodeCommand } from "./node_process.ts";
import type { TestProcess } from "./process.ts";
import { makeTempDir, type TempDir } from "./temp.ts";

/** Large enough that nothing is truncated, which is not the point of most tests. */
const MAX_ENTRIES = 1_000_000;
const START_TIMEOUT_MS = 60_000;
const CONVERGE_TIMEOUT_MS = 60_000;
const READ_TIMEOUT_MS = 10_000;

/** What one node has beyond the cluster's settings. */
export interface NodeChoice {
  readonly top?: Settings;
  readonly settings?: Readonly<Record<string, Settings>>;
  /** Default: that of the cluster. */
  readonly schema?: string;
  /** False: its database is there, but the node is not started. Default true. */
  readonly started?: boolean;
}

export interface ClusterOptions {
  /** SQL that makes each database. */
  readonly schema: string;
  readonly settings?: Readonly<Record<string, Settings>>;
  /** By number of the node, from 1. */
  readonly choose?: (id: number) => NodeChoice;
}

/** A database, the node that replicates it, and what an application would do with it. */
export class ClusterNode implements AsyncDisposable {
  readonly options: NodeOptions;
  #process: TestProcess | undefined;

  constructor(options: NodeOptions) {
    this.options = options;
  }

  get dbPath(): string {
    return this.options.dbPath;
  }

  /** The running node, or the last one that ran. */
  get process(): TestProcess {
    if (this.#process === undefined) throw new Error(`Node ${this.options.nodeId} was not started`);
    return this.#process;
  }

  /** Starts the node and waits until it is at work; `options` go over those of the cluster. */
  async start(options: Partial<NodeOptions> = {}, timeoutMs = START_TIMEOUT_MS): Promise<TestProcess> {
    const chosen = { ...this.options, ...options };
    const process = startNode(chosen);
    this.#process = process;
    try {
      await process.waitForLog(
        chosen.top?.["publish"] === false ? "Connected to NATS" : "Caught up with the streams",
        { timeoutMs },
      );
      return process;
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts the node without waiting for anything: for one that may fail. */
  launch(options: Partial<NodeOptions> = {}): TestProcess {
    return startNode({ ...this.options, ...options });
  }

  /** Runs another command of the program with the node's configuration. */
  command(words: readonly string[], options: Partial<NodeOptions> = {}): TestProcess {
    return startNodeCommand({ ...this.options, ...options }, words);
  }

  /** SIGKILL: a crash. */
  async kill(): Promise<void> {
    await this.process.kill("SIGKILL");
  }

  /** SIGTERM, and the exit code. */
  async stop(): Promise<number> {
    return await this.process.stop();
  }

  /** Runs SQL as the application does, in another process; see {@link runSql}. */
  async sql(text: string): Promise<string> {
    return await runSql(this.dbPath, text);
  }

  /** The rows of a query, each as the list of its columns. */
  read(query: string, ...values: SQLInputValue[]): unknown[][] {
    using db = new DatabaseSync(this.dbPath, { readOnly: true, timeout: READ_TIMEOUT_MS });
    const statement = db.prepare(query);
    statement.setReadBigInts(true);
    return statement.all(...values).map((row) => Object.values(row));
  }

  /** The first column of the first row, as a number. */
  count(query: string): number {
    return Number(this.read(query)[0]?.[0] ?? 0);
  }

  /** Captured changes that are in no stream yet: the documented count. */
  pending(): number {
    return this.count("SELECT count(*) FROM __harmonylite___global_change_log");
  }

  /** The last sequence applied of each shard. */
  positions(): Map<number, number> {
    const rows = this.read("SELECT shard, sequence FROM __harmonylite___position ORDER BY shard");
    return new Map(rows.map(([shard, sequence]) => [Number(shard), Number(sequence)]));
  }

  /** The last sequence at which own changes lie, of each shard. */
  published(): Map<number, number> {
    using db = new DatabaseSync(this.dbPath, { readOnly: true, timeout: READ_TIMEOUT_MS });
    const logs = db.prepare(
      `SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_\\_harmonylite\\_\\_%\\_change\\_log' ESCAPE '\\'
         AND name <> '__harmonylite___global_change_log'`,
    ).all();
    const last = new Map<number, number>();
    for (const { name } of logs) {
      const quoted = `"${String(name).replaceAll('"', '""')}"`;
      const rows = db.prepare(
        `SELECT shard, max(sequence) AS sequence FROM ${quoted} WHERE sequence IS NOT NULL GROUP BY shard`,
      ).all();
      for (const { shard, sequence } of rows) {
        last.set(Number(shard), Math.max(last.get(Number(shard)) ?? 0, Number(sequence)));
      }
    }
    return last;
  }

  /** Memory that the node's process has in use, in megabytes. */
  residentMegabytes(): number {
    const status = Deno.readTextFileSync(`/proc/${this.process.pid}/status`);
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  }

  /** The most memory that the node's process had in use since it started, in megabytes. */
  peakMegabytes(): number {
    const status = Deno.readTextFileSync(`/proc/${this.process.pid}/status`);
    return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.[Symbol.asyncDispose]();
  }
}

/** A nats-server and nodes with a database each, all on this machine. */
export class Cluster implements AsyncDisposable {
  readonly nats: NatsServer;
  readonly dir: string;
  readonly nodes: readonly ClusterNode[];
  readonly #resources: AsyncDisposableStack;

  constructor(nats: NatsServer, dir: TempDir, nodes: readonly ClusterNode[], stack: AsyncDisposableStack) {
    this.nats = nats;
    this.dir = dir.path;
    this.nodes = nodes;
    this.#resources = stack;
  }

  /** By number, from 1. */
  node(id: number): ClusterNode {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new Error(`There is no node ${id}`);
    return node;
  }

  /** See {@link converge}; default: all nodes. */
  async converge(options: { timeoutMs?: number; nodes?: readonly ClusterNode[] } = {}): Promise<void> {
    await converge(options.nodes ?? this.nodes, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/**
 * Waits until nothing is on its way: all that was captured is in the streams, and all nodes have applied the streams
 * to the same place. Then all databases must hold the same rows, types included.
 */
export async function converge(
  nodes: readonly ClusterNode[],
  { timeoutMs = CONVERGE_TIMEOUT_MS }: { timeoutMs?: number } = {},
): Promise<void> {
  try {
    await eventually("nothing is on its way", () => checkSettled(nodes), { timeoutMs, intervalMs: 100 });
    if (nodes.length > 1) assertSameContent(nodes.map(({ dbPath }) => dbPath));
  } catch (error) {
    const logs = nodes.map(({ process }) => process.log.tail(15)).join("\n");
    throw new Error(`${error instanceof Error ? error.message : error}\n${logs}`, { cause: error });
  }
}

function checkSettled(nodes: readonly ClusterNode[]): void {
  const reference = nodes[0]!.positions();
  nodes.forEach((node, index) => {
    assert.equal(node.pending(), 0, `node ${index + 1} has pending changes`);
    const positions = node.positions();
    assert.deepEqual(positions, reference, `node ${index + 1} has applied less or more than node 1`);
    for (const [shard, sequence] of node.published()) {
      const applied = positions.get(shard) ?? 0;
      assert.ok(
        applied >= sequence,
        `node ${index + 1} sent ${sequence} to shard ${shard}, applied ${applied}`,
      );
    }
  });
}

/** Starts nats-server and `count` nodes with the same schema, numbered from 1. `await using` stops all of it. */
export async function startCluster(count: number, options: ClusterOptions): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await makeTempDir());
  const nats = stack.use(await startNatsServer());
  const ids = Array.from({ length: count }, (_, index) => index + 1);
  const nodes = ids.map((id) => stack.use(new ClusterNode(nodeOptions(id, dir, nats, options))));
  await Promise.all(ids.map((id) => {
    const { schema = options.schema } = options.choose?.(id) ?? {};
    return createDatabase(nodes[id - 1]!.dbPath, schema);
  }));
  const started = nodes.filter((_, index) => options.choose?.(index + 1).started ?? true);
  await Promise.all(started.map((node) => node.start()));
  return new Cluster(nats, dir, nodes, stack.move());
}

function nodeOptions(id: number, dir: TempDir, nats: NatsServer, options: ClusterOptions): NodeOptions {
  const { top = {}, settings = {} } = options.choose?.(id) ?? {};
  const merged: Record<string, Settings> = { replication_log: { max_entries: MAX_ENTRIES } };
  for (const [name, table] of [...Object.entries(options.settings ?? {}), ...Object.entries(settings)]) {
    merged[name] = { ...merged[name], ...table };
  }
  return {
    dir: dir.path,
    nodeId: id,
    dbPath: dir.file(`node-${id}.db`),
    natsUrl: nats.url,
    top,
    settings: merged,
  };
}
