import { DatabaseSync } from "node:sqlite";
import { compareDatabases } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { type NatsServer, startNatsServer } from "../support/nats_server.ts";
import { startNode } from "../support/node_process.ts";
import { startProcess, type TestProcess } from "../support/process.ts";
import { makeTempDir, type TempDir } from "../support/temp.ts";
import { atMost, type Figure } from "./figures.ts";
import { type ProcessFigures, processFigures } from "./process_figures.ts";
import type { ReaderOrder, ReaderReport } from "./reader.ts";
import type { WriterOrder, WriterReport } from "./writer.ts";

export const TABLE_SQL = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b REAL, c BLOB);";

const START_TIMEOUT_MS = 60_000;
const ARRIVAL_TIMEOUT_MS = 300_000;
const PENDING = `SELECT count(*) AS n FROM "__harmonylite___global_change_log"`;
const TRIGGERS = `SELECT count(*) AS n FROM sqlite_schema WHERE type = 'trigger' AND name LIKE
  '\\_\\_harmonylite\\_\\_t\\_change\\_log\\_on\\_%' ESCAPE '\\'`;

/** Laboratories in use, so that an interrupted benchmark can clear them away. */
const open = new Set<AsyncDisposable>();
let closing = false;

/** Ends every process and removes every folder of the benchmark; no laboratory opens after that. */
export async function closeLabs(): Promise<void> {
  closing = true;
  await Promise.all([...open].map((lab) => lab[Symbol.asyncDispose]()));
}

/** Likewise for what a part has opened by itself; until it is disposed. */
export function clearAwayWhenStopped(resource: AsyncDisposable): Disposable {
  open.add(resource);
  return { [Symbol.dispose]: () => void open.delete(resource) };
}

/** One node, the real program as a process, and its database. */
export class LabNode {
  readonly db: string;
  readonly #dir: string;
  readonly #id: number;
  readonly #natsUrl: string;
  readonly #connection: DatabaseSync;
  #process: TestProcess | undefined;

  /** Creates the database, in WAL mode as most applications do; the program is not started yet. */
  constructor(dir: string, id: number, natsUrl: string, sql: string) {
    this.#dir = dir;
    this.#id = id;
    this.#natsUrl = natsUrl;
    this.db = `${dir}/app-${id}.db`;
    this.#connection = new DatabaseSync(this.db, { timeout: START_TIMEOUT_MS });
    this.#connection.exec(`PRAGMA journal_mode = WAL; ${sql}`);
  }

  get process(): TestProcess {
    if (this.#process === undefined) throw new Error(`Cannot look at node ${this.#id}: it was not started`);
    return this.#process;
  }

  /** Starts the program and returns how long it took until capture was installed: milliseconds. */
  async start(): Promise<number> {
    const start = performance.now();
    this.#process = startNode({
      dir: this.#dir,
      nodeId: this.#id,
      dbPath: this.db,
      natsUrl: this.#natsUrl,
      settings: {
        replication_log: { shards: 1, max_entries: 10_000_000, compress: true },
        logging: { verbose: false },
      },
    });
    await this.waitFor("three triggers", () => this.count(TRIGGERS) >= 3, 10);
    return performance.now() - start;
  }

  async kill(): Promise<void> {
    await this.#process?.kill("SIGKILL");
  }

  count(sql: string): number {
    return Number(this.#connection.prepare(sql).get()?.["n"]);
  }

  /** Milliseconds until nothing is pending any more. */
  async published(intervalMs = 5): Promise<number> {
    const start = performance.now();
    await this.waitFor("nothing pending", () => this.count(PENDING) === 0, intervalMs, ARRIVAL_TIMEOUT_MS);
    return performance.now() - start;
  }

  /** Polls, but not longer than the program lives. */
  async waitFor(
    name: string,
    condition: () => boolean,
    intervalMs: number,
    timeoutMs = START_TIMEOUT_MS,
  ): Promise<void> {
    const look = (): boolean => !this.process.running || condition();
    await eventually(`node ${this.#id}: ${name}`, look, { intervalMs, timeoutMs });
    if (this.process.running) return;
    throw new Error(`Cannot go on: node ${this.#id} has ended\n${this.process.log.tail()}`);
  }

  figures(): ProcessFigures | undefined {
    return processFigures(this.process.pid);
  }

  async close(): Promise<void> {
    if (this.#connection.isOpen) this.#connection.close();
    await this.#process?.[Symbol.asyncDispose]();
  }
}

/** A nats-server, nodes and their databases in a folder of their own; all is gone when it is disposed. */
export class Lab implements AsyncDisposable {
  readonly #temp: TempDir;
  readonly #nodes: LabNode[] = [];
  readonly #tools = new Set<TestProcess>();
  readonly #others = new AsyncDisposableStack();
  #server: NatsServer | undefined;

  private constructor(temp: TempDir) {
    this.#temp = temp;
    open.add(this);
  }

  static async open(): Promise<Lab> {
    if (closing) throw new Error("Cannot open a laboratory: the benchmark is being stopped");
    const lab = new Lab(await makeTempDir());
    try {
      lab.#server = await startNatsServer({ storeDir: lab.file("jetstream") });
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A laboratory with two running nodes, in which the first has published and the second has applied a row. */
  static async openPair(): Promise<{ lab: Lab; a: LabNode; b: LabNode }> {
    const lab = await Lab.open();
    try {
      const [a, b] = [lab.addNode(), lab.addNode()];
      await a.start();
      await b.start();
      await lab.write(a, { firstId: -1, rows: 1 });
      await b.waitFor("the first row", () => b.count("SELECT count(*) AS n FROM t WHERE id = -1") === 1, 25);
      return { lab, a, b };
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  get natsUrl(): string {
    if (this.#server === undefined) throw new Error("Cannot connect: nats-server does not run");
    return this.#server.url;
  }

  file(name: string): string {
    return this.#temp.file(name);
  }

  /** Ends with the laboratory. */
  own(resource: AsyncDisposable): void {
    this.#others.use(resource);
  }

  /** A node with its database, not started yet. */
  addNode(sql = TABLE_SQL): LabNode {
    const node = new LabNode(this.#temp.path, this.#nodes.length + 1, this.natsUrl, sql);
    this.#nodes.push(node);
    return node;
  }

  /** Writes as an application, and returns when it has ended. Without more words: 500 rows a transaction, flat out. */
  async write(
    to: { readonly db: string },
    order: Partial<WriterOrder> & Pick<WriterOrder, "firstId" | "rows">,
  ): Promise<WriterReport> {
    const full = { table: "t", rowsPerTransaction: 500, rate: 0, timesFile: "", ...order, db: to.db };
    return await this.#report(this.#startTool("writer", full));
  }

  /** Starts a reader and returns, as soon as it looks, how to get its report. */
  async read(
    from: LabNode,
    order: Partial<ReaderOrder> & Pick<ReaderOrder, "firstId" | "rows">,
  ): Promise<() => Promise<ReaderReport>> {
    const defaults = { intervalMs: 5, timeoutMs: ARRIVAL_TIMEOUT_MS, mode: "all", timesFile: "" };
    const tool = this.#startTool("reader", { ...defaults, ...order, db: from.db });
    await tool.waitForLog("reading");
    return async () => {
      const report = await this.#report<ReaderReport>(tool);
      if (report.arrived >= order.rows) return report;
      throw new Error(`Cannot see all rows: ${report.arrived} of ${order.rows} arrived in ${from.db}`);
    };
  }

  /** Throws unless all nodes hold the same rows, types included. */
  assertEqual(): void {
    const differences = compareDatabases(this.#nodes.map(({ db }) => db), 5);
    if (differences.length === 0) return;
    throw new Error(`The databases differ:\n${differences.map(({ text }) => text).join("\n")}`);
  }

  /** Memory of the node that has more: now, and the most it ever had; none where that cannot be told. */
  memory(): Figure[] {
    const figures = this.#nodes.map((node) => node.figures()).filter((each) => each !== undefined);
    if (figures.length === 0) return [];
    const largest = (name: string, values: readonly number[]): Figure => {
      return { name, value: Math.max(...values), unit: "MB", target: atMost(128) };
    };
    return [
      largest("memory at the end", figures.map(({ residentMb }) => residentMb)),
      largest("memory at its peak", figures.map(({ peakMb }) => peakMb)),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#others.disposeAsync();
    await Promise.all([...this.#tools].map((tool) => tool[Symbol.asyncDispose]()));
    await Promise.all(this.#nodes.map((node) => node.close()));
    await this.#server?.[Symbol.asyncDispose]();
    await this.#temp[Symbol.asyncDispose]();
    open.delete(this);
  }

  #startTool(name: "writer" | "reader", order: unknown): TestProcess {
    const program = new URL(`./${name}.ts`, import.meta.url).pathname;
    const tool = startProcess({
      name,
      command: Deno.execPath(),
      args: ["run", "-A", "--no-config", "--no-lock", program, JSON.stringify(order)],
    });
    this.#tools.add(tool);
    return tool;
  }

  async #report<Report>(tool: TestProcess): Promise<Report> {
    const code = await tool.exited;
    this.#tools.delete(tool);
    if (code === 0) return JSON.parse(tool.output.lines.at(-1) ?? "") as Report;
    throw new Error(`Cannot measure: ${tool.name} ended with ${code}\n${tool.log.tail()}`);
  }
}
