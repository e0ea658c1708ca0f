import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import { eventually } from "../../tests/support/eventually.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { captureLogger } from "../observe/logger.ts";
import { parseConfig } from "../config/parse.ts";
import { FileStore } from "../snapshot/file_store.ts";
import { StoreError } from "../snapshot/store_error.ts";
import { takeSnapshot } from "../snapshot/take.ts";
import { MemoryBroker, type MemoryLog } from "../stream/memory_log.ts";
import { Recovery, requireDatabase, type SnapshotSource } from "./recovery.ts";
import { Replica } from "./replica.ts";
import { generationsOf } from "./save_snapshot.ts";

const TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a);";
const STREAMS = { streamPrefix: "s", subjectPrefix: "s", shards: 1, maxEntries: 100, replicas: 1 };

/** A cluster whose rows were there before replication, a snapshot of it, and a node that joins with empty tables. */
class Joining implements AsyncDisposable {
  readonly broker = new MemoryBroker();
  readonly log: MemoryLog;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    readonly lab: CoreLab,
    readonly replica: Replica,
    readonly logger: ReturnType<typeof captureLogger>,
    readonly store: FileStore,
    stack: AsyncDisposableStack,
  ) {
    this.#stack = stack;
    this.log = stack.use(this.broker.connect({ ...STREAMS, compress: false, updateExisting: false }));
  }

  /** `theirs`: the table as the others have it. */
  static async open(theirs = TABLE): Promise<Joining> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await makeTempDir());
    const lab = stack.use(await CoreLab.open(TABLE));
    const first = stack.use(await CoreLab.open(`${theirs} INSERT INTO t (id, a) VALUES (1, 'before')`));
    const config = parseConfig(`db_path = "${lab.path}"\nnode_id = 7`);
    const { signal } = new AbortController();
    const logger = captureLogger();
    const replica = stack.use(await Replica.open(config, { signal, logger }));
    const store = stack.use(new FileStore({ path: folder.path }));
    const generations = generationsOf(config, store);
    await takeSnapshot({
      database: first.database,
      filter: config.tables,
      node: 5n,
      add: (path, facts, options) => generations.add(path, facts, { ...options, keep: 1 }),
      signal,
      now: Date.now,
    });
    const joining = new Joining(lab, replica, logger, store, stack.move());
    await joining.log.ensureStreams();
    const { data } = lab.messageOf([{ table: "t", type: "insert", row: { a: 1n, id: 2n }, ts: LAB_TIME_NS }]);
    await joining.log.publish(1, { id: "1", headers: new Map(), data });
    return joining;
  }

  recovery(openStore: SnapshotSource["openStore"]): Recovery {
    const request = (): Promise<boolean> => Promise.resolve(false);
    return new Recovery(this.replica, this.log, { openStore, request });
  }

  async start(openStore: SnapshotSource["openStore"], signal: AbortSignal): Promise<void> {
    await this.recovery(openStore).atStart(true, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

Deno.test("a node that joins takes over rows that were there before all messages", async () => {
  await using joining = await Joining.open();
  await joining.start(() => Promise.resolve(joining.store), new AbortController().signal);
  assert.deepEqual(joining.lab.lines("SELECT id, a FROM t"), ["1|'before'"]);
});

Deno.test("a node that joins waits for the store: nothing else knows the rows that were there before", async () => {
  await using joining = await Joining.open();
  const failures: (string | undefined)[] = [];
  const openStore: SnapshotSource["openStore"] = () => {
    failures.push(recovery.failure);
    if (failures.length > 2) return Promise.resolve(joining.store);
    return Promise.reject(new StoreError("UNREACHABLE", "the host does not answer", { transient: true }));
  };
  const recovery = joining.recovery(openStore);
  await recovery.atStart(true, new AbortController().signal);
  assert.deepEqual(failures, [undefined, "the host does not answer", "the host does not answer"]);
  assert.equal(recovery.failure, undefined);
  assert.deepEqual(joining.lab.lines("SELECT id, a FROM t"), ["1|'before'"]);
});

Deno.test("a node that is started while NATS cannot be reached waits until it can", async () => {
  await using joining = await Joining.open();
  joining.log.setConnected(false);
  const start = joining.start(() => Promise.resolve(joining.store), new AbortController().signal);
  const isSaid = (): boolean => /Unable to read/.test(JSON.stringify(joining.logger.lines));
  await Promise.race([start, eventually("it says so", isSaid)]);
  joining.log.setConnected(true);
  await start;
  assert.deepEqual(joining.lab.lines("SELECT id, a FROM t"), ["1|'before'"]);
});

Deno.test("a node that joins with an older schema says which table waits until it has the newer one", async () => {
  await using joining = await Joining.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b DEFAULT 5);");
  const recovery = joining.recovery(() => Promise.resolve(joining.store));
  const start = recovery.atStart(true, new AbortController().signal);
  const pause = await Promise.race([
    start.then(() => assert.fail("it does not wait")),
    eventually("it waits", () => recovery.pause ?? false),
  ]);
  assert.ok(pause);
  assert.equal(pause.table, "t");
  assert.match(pause.reason, /does not know the column "b"/);
  joining.lab.run("ALTER TABLE t ADD COLUMN b DEFAULT 5");
  await start;
  assert.equal(recovery.pause, undefined);
  assert.deepEqual(joining.lab.lines("SELECT id, a, b FROM t"), ["1|'before'|5"]);
});

Deno.test("a missing database comes back though the store's leader is away at that moment; a refusal is told at once", async () => {
  await using joining = await Joining.open();
  const { store, logger } = joining;
  await using folder = await makeTempDir();
  const config = parseConfig(`db_path = "${folder.file("gone.db")}"\nnode_id = 8`);
  const { signal } = new AbortController();
  let asked = 0;
  const open = (transient: boolean): Promise<void> => {
    asked = 0;
    const openStore = (): Promise<AsyncDisposable & { store: FileStore }> =>
      ++asked === 1
        ? Promise.reject(new StoreError("NO_ANSWER", "no answer", { transient }))
        : Promise.resolve({ store, [Symbol.asyncDispose]: () => Promise.resolve() });
    return requireDatabase(config, { openStore, signal, logger });
  };
  await assert.rejects(open(false), /no answer/);
  assert.equal(asked, 1);
  await open(true);
  assert.equal(asked, 2);
  assert.ok(Deno.statSync(config.dbPath).size > 0);
});
