import { DatabaseSync } from "node:sqlite";
import { APPLICATION_SCHEMA, type ApplicationReport } from "../../tests/support/application.ts";
import { type RunningApplication, startApplication } from "../../tests/support/application_process.ts";
import { type NatsServer, startNatsServer } from "../../tests/support/nats_server.ts";
import { startNode } from "../../tests/support/node_process.ts";
import type { TestProcess } from "../../tests/support/process.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { HEARTBEAT_TABLE_SQL } from "./heartbeat.ts";

const NODES = [1, 2, 3];
/** Each application numbers its own rows from its own start; a part of its writes goes to rows that all of them write. */
const ID_RANGE = 1_000_000_000;
const SHARED_PART = 0.2;

/** One node: a database, the program that replicates it, and the application that writes to it. */
export class StageNode implements AsyncDisposable {
  readonly id: number;
  readonly db: string;
  readonly #folder: string;
  readonly #natsUrl: string;
  #process: TestProcess | undefined;
  #application: RunningApplication | undefined;
  #killed = false;

  /** Creates the database with its tables, as an application would. */
  constructor(folder: string, id: number, natsUrl: string) {
    this.id = id;
    this.db = `${folder}/shop-${id}.db`;
    this.#folder = folder;
    this.#natsUrl = natsUrl;
    using db = new DatabaseSync(this.db);
    db.exec(`PRAGMA journal_mode = WAL; ${APPLICATION_SCHEMA} ${HEARTBEAT_TABLE_SQL}`);
  }

  /** Whether it was killed and not started again. */
  get killed(): boolean {
    return this.#killed;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts the program; resolves when it replicates. */
  async start(): Promise<void> {
    this.#process = startNode({
      dir: this.#folder,
      nodeId: this.id,
      dbPath: this.db,
      natsUrl: this.#natsUrl,
      env: { TMPDIR: this.#folder }, // What a killed node leaves there goes with the folder.
    });
    this.#killed = false;
    await this.#process.waitForLog("Caught up with the streams, publishing");
  }

  /** SIGKILL: no good-bye, no flush. */
  async kill(): Promise<void> {
    this.#killed = true;
    await this.#process?.kill("SIGKILL");
  }

  /** Lets it send what is pending, and end. */
  async drain(): Promise<void> {
    const code = await this.#process?.stop();
    if (code !== 0) throw new Error(`Node ${this.id} ended with exit code ${code}\n${this.log()}`);
  }

  async startWriting(rate: number): Promise<void> {
    this.#application = await startApplication({
      db: this.db,
      rate,
      seed: this.id,
      firstId: this.id * ID_RANGE,
      sharedPart: SHARED_PART,
    });
  }

  /** Throws when the application failed, or one of its transactions did: nothing of ours may make it fail. */
  async stopWriting(): Promise<ApplicationReport> {
    if (this.#application === undefined) {
      throw new Error(`Cannot stop application ${this.id}: it was not started`);
    }
    const application = this.#application;
    this.#application = undefined; // From here on it may end.
    await using _ended = application;
    const report = await application.stop();
    if (report.errors === 0) return report;
    throw new Error(`${report.errors} transactions of application ${this.id} failed: ${report.lastError}`);
  }

  /** Throws when the program or the application has ended although nobody asked it to. */
  assertAlive(): void {
    if (!this.#killed && this.#process?.running === false) {
      throw new Error(`Node ${this.id} has ended by itself\n${this.log()}`);
    }
    if (this.#application?.process.running === false) {
      throw new Error(
        `Application ${this.id} has ended by itself\n${this.#application.process.log.tail(20)}`,
      );
    }
  }

  /** The last lines that the program wrote. */
  log(): string {
    return this.#process?.log.tail(20) ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#application?.[Symbol.asyncDispose]();
    await this.#process?.[Symbol.asyncDispose]();
  }
}

/** All that the demo starts: a folder, a nats-server, three nodes. Disposing ends and removes all of it. */
export class Stage implements AsyncDisposable {
  readonly folder: string;
  readonly nodes: readonly StageNode[];
  readonly natsUrl: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(folder: string, server: NatsServer, stack: AsyncDisposableStack) {
    this.folder = folder;
    this.natsUrl = server.url;
    this.#stack = stack;
    this.nodes = NODES.map((id) => stack.use(new StageNode(folder, id, server.url)));
  }

  /** The databases and nats-server; the nodes are not started yet. What a failed start has made goes with `stack`. */
  static async open(stack: AsyncDisposableStack, { keep }: { keep: boolean }): Promise<Stage> {
    const folder = keep
      ? await Deno.makeTempDir({ prefix: "harmonylite-demo-" })
      : stack.use(await makeTempDir()).path;
    const server = stack.use(await startNatsServer({ storeDir: `${folder}/jetstream` }));
    return new Stage(folder, server, stack);
  }

  assertAlive(): void {
    for (const node of this.nodes) node.assertAlive();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
