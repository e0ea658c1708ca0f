import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { type Cluster, type ClusterNode, startCluster } from "../support/cluster.ts";
import { startNatsServer } from "../support/nats_server.ts";
import type { NodeOptions } from "../support/node_process.ts";
import type { TestProcess } from "../support/process.ts";
import { makeTempDir } from "../support/temp.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";
const PASSWORD = "a-secret-of-NATS";
const ROWS = 300;
/** For all that both nodes tell of themselves while one row after the other is replicated. */
const MAX_LINES = 60;
const WAIT = { timeoutMs: 40_000 };

/** What the documents tell users to look for, and how it is brought about, one after the other. */
const SENTENCES: Readonly<Record<string, (trouble: Trouble) => Promise<TestProcess>>> = {
  "Snapshot saved": (trouble) => trouble.whoever("Snapshot saved"),
  "Waiting checkpoint...": ({ first }) => Promise.resolve(first.process),
  "Cleaned up DB change logs": ({ first }) => Promise.resolve(first.process),
  "database is locked": (trouble) => trouble.holdLock(),
  "Unable to save snapshot": (trouble) => trouble.removeStore(),
  "Failed to create snapshot": (trouble) => trouble.whoever("Failed to create snapshot"),
  "malformed database": (trouble) => trouble.damageDatabase(),
  "Failed to restore snapshot": (trouble) => Promise.resolve(trouble.last),
  "Failed to create stream": (trouble) => trouble.useServerWithoutJetStream(),
  "No responders available": (trouble) => Promise.resolve(trouble.last),
  "Unable to publish": (trouble) => trouble.killNats(),
  "Failed to connect to NATS": (trouble) => trouble.start({}),
  "Invalid configuration": (trouble) => trouble.start({ settings: { replication_log: { shards: "many" } } }),
};

/** Two nodes that snapshot into a folder, and what may happen to them. */
class Trouble implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly #cluster: Cluster;
  readonly #store: string;
  /** The node that was started last, in trouble. */
  last: TestProcess;

  constructor(cluster: Cluster, store: string, stack: AsyncDisposableStack) {
    [this.#cluster, this.#store, this.#stack] = [cluster, store, stack];
    this.last = this.first.process;
  }

  get first(): ClusterNode {
    return this.#cluster.node(1);
  }

  get second(): ClusterNode {
    return this.#cluster.node(2);
  }

  /** The node that says it first. */
  async whoever(sentence: string): Promise<TestProcess> {
    const processes = this.#cluster.nodes.map(({ process }) => process);
    return await Promise.any(
      processes.map((process) => process.waitForLog(sentence, WAIT).then(() => process)),
    );
  }

  /** An application of the second node leaves a transaction open. */
  async holdLock(): Promise<TestProcess> {
    using application = new DatabaseSync(this.second.dbPath);
    application.exec("BEGIN IMMEDIATE");
    await this.first.sql("INSERT INTO notes (text) VALUES ('waits');");
    await this.second.process.waitForLog("database is locked", WAIT);
    application.exec("ROLLBACK");
    await this.#cluster.converge();
    return this.second.process;
  }

  async removeStore(): Promise<TestProcess> {
    await Deno.remove(this.#store, { recursive: true });
    return await this.whoever("Unable to save snapshot");
  }

  /** Nor can the snapshots be read. */
  async damageDatabase(): Promise<TestProcess> {
    await this.second.stop();
    await Deno.mkdir(this.#store);
    await Deno.writeTextFile(`${this.#store}/snapshot.json`, "no manifest");
    using file = await Deno.open(this.second.dbPath, { write: true });
    await file.seek(4096, Deno.SeekMode.Start);
    await file.write(new Uint8Array(3 * 4096).fill(255));
    return await this.start({});
  }

  async useServerWithoutJetStream(): Promise<TestProcess> {
    const nats = this.#stack.use(await startNatsServer({ jetStream: false }));
    const database = `${this.second.dbPath}-other`;
    using application = new DatabaseSync(database);
    application.exec(SCHEMA);
    return await this.start({ natsUrl: nats.url, dbPath: database }, "Failed to create stream");
  }

  async killNats(): Promise<TestProcess> {
    await this.#cluster.nats.kill();
    await this.first.sql("INSERT INTO notes (text) VALUES ('waits');");
    return this.first.process;
  }

  /** Starts the second node, which says something or cannot start. */
  async start(options: Partial<NodeOptions>, says?: string): Promise<TestProcess> {
    const dbPath = `${this.second.dbPath}-other`;
    const { settings: usual = {} } = this.second.options;
    const settings = { ...usual, ...options.settings, nats: { ...usual["nats"], connect_retries: 1 } };
    const isFirstTime = this.last === this.first.process;
    if (!isFirstTime) await this.last.kill();
    const process = this.second.launch({ ...isFirstTime ? {} : { dbPath }, ...options, settings });
    this.last = this.#stack.use(process);
    if (says === undefined) assert.equal(await process.exited, 1, process.log.tail());
    else await process.waitForLog(says, WAIT);
    return process;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

Deno.test("the sentences that the documents tell users to look for are in the log, as JSON, with no secret and no line per row", async () => {
  await using dir = await makeTempDir();
  const store = dir.file("store");
  await Deno.mkdir(store);
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    settings: {
      logging: { verbose: false, format: "json" },
      nats: { user_name: "operator", user_password: PASSWORD },
      snapshot: { enabled: true, store: "file", interval: 4_000 },
      "snapshot.file": { path: store },
    },
    choose: () => ({ top: { cleanup_interval: 500 } }),
  });
  await using trouble = new Trouble(cluster, store, new AsyncDisposableStack());
  await cluster.node(1).sql("INSERT INTO notes (text) VALUES ('row');\n".repeat(ROWS));
  await cluster.converge();
  for (const { process } of cluster.nodes) assertTerse(process);
  for (const [sentence, bringAbout] of Object.entries(SENTENCES)) {
    const process = await bringAbout(trouble);
    await process.waitForLog(sentence, WAIT);
  }
  for (const process of [...cluster.nodes.map(({ process }) => process), trouble.last]) {
    assert.ok(!process.log.has(PASSWORD), `${process.name} tells the password`);
  }
});

function assertTerse({ log, name }: TestProcess): void {
  assert.ok(log.lines.length <= MAX_LINES, `${name} has said ${log.lines.length} lines\n${log.tail()}`);
  for (const line of log.lines) {
    const { time, level, message } = JSON.parse(line);
    assert.ok(Date.parse(time) > 0 && ["info", "warn", "error"].includes(level) && message !== "", line);
  }
}
