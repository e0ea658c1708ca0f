import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { StreamError } from "../../src/lib/errors.ts";
import { JetStreamKeyValue } from "../../src/stream/jetstream_key_value.ts";
import type { KeyValueStore } from "../../src/stream/key_value.ts";
import { MemoryBuckets } from "../../src/stream/memory_key_value.ts";
import { type NatsServer, startNatsServer } from "../support/nats_server.ts";

const BUCKET = "harmonylite-schema-registry";
const signal = new AbortController().signal;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** One kind of store, with what the suite does to it from outside. */
interface Lab extends AsyncDisposable {
  open(folder?: string): Promise<KeyValueStore>;
  deleteBucket(): Promise<void>;
}

class MemoryLab implements Lab {
  readonly #buckets = new MemoryBuckets();

  open(folder = ""): Promise<KeyValueStore> {
    return Promise.resolve(this.#buckets.connect({ bucket: BUCKET, folder, replicas: 1 }));
  }

  deleteBucket(): Promise<void> {
    return Promise.resolve(this.#buckets.delete(BUCKET));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

class JetStreamLab implements Lab {
  readonly server: NatsServer;
  readonly #opened = new AsyncDisposableStack();

  constructor(server: NatsServer) {
    this.server = this.#opened.use(server);
  }

  async open(folder = ""): Promise<KeyValueStore> {
    return this.#opened.use(
      new JetStreamKeyValue(await this.connect(), { bucket: BUCKET, folder, replicas: 1 }),
    );
  }

  async connect(): Promise<NatsConnection> {
    const connection = await connect({ servers: this.server.url });
    this.#opened.defer(() => connection.close());
    return connection;
  }

  async deleteBucket(): Promise<void> {
    await (await jetstreamManager(await this.connect())).streams.delete(`KV_${BUCKET}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#opened.disposeAsync();
  }
}

const ADAPTERS: Record<string, () => Promise<Lab>> = {
  "MemoryKeyValue": () => Promise.resolve(new MemoryLab()),
  "JetStreamKeyValue": async () => new JetStreamLab(await startNatsServer()),
};

for (const [adapter, start] of Object.entries(ADAPTERS)) {
  const test = (name: string, run: (lab: Lab) => Promise<void>): void =>
    Deno.test(`key-value store (${adapter}): ${name}`, async () => {
      await using lab = await start();
      await run(lab);
    });

  test("there is nothing before the first value, and then what was put, for every node", async (lab) => {
    const [one, other] = [await lab.open(), await lab.open()];
    assert.equal(await one.list(signal), undefined);
    assert.equal(await one.get("node-1", signal), undefined);
    await Promise.all([one.put("node-1", bytes("one"), signal), other.put("node-2", bytes("two"), signal)]);
    const before = (await other.list(signal))!;
    assert.deepEqual(before.keys, ["node-1", "node-2"]);
    await other.put("node-1", bytes("new"), signal);
    assert.deepEqual(await one.get("node-1", signal), bytes("new"));
    assert.equal(await one.get("node-3", signal), undefined);
    const after = (await one.list(signal))!;
    assert.deepEqual([after.created, after.keys], [before.created, before.keys]);
    assert.ok(after.revision > before.revision);
  });

  test("folders of one bucket do not see each other", async (lab) => {
    const [plain, folder] = [await lab.open(), await lab.open("shop")];
    await plain.put("node-1", bytes("plain"), signal);
    await folder.put("node-1", bytes("shop"), signal);
    await folder.put("node-2", bytes("shop"), signal);
    assert.deepEqual((await plain.list(signal))?.keys, ["node-1"]);
    assert.deepEqual((await folder.list(signal))?.keys, ["node-1", "node-2"]);
    assert.deepEqual(await plain.get("node-1", signal), bytes("plain"));
    assert.deepEqual(await folder.get("node-1", signal), bytes("shop"));
  });

  test("of those who replace one revision of a value one succeeds", async (lab) => {
    const [one, other] = [await lab.open(), await lab.open("shop")];
    assert.deepEqual(await one.entry("leader", signal), { value: undefined, revision: 0 });
    const first = await one.replace("leader", bytes("one"), 0, signal);
    assert.ok(first! > 0);
    assert.equal(await one.replace("leader", bytes("two"), 0, signal), undefined);
    assert.deepEqual(await one.entry("leader", signal), { value: bytes("one"), revision: first });
    const racers = await Promise.all(
      ["a", "b", "c"].map((text) => one.replace("leader", bytes(text), first!, signal)),
    );
    const [won, ...more] = racers.filter((revision) => revision !== undefined);
    assert.deepEqual(more, []);
    assert.ok(won! > first!);
    await one.put("leader", bytes("put"), signal);
    assert.equal(await one.replace("leader", bytes("late"), won!, signal), undefined);
    const { revision } = await one.entry("leader", signal);
    const removed = await one.replace("leader", new Uint8Array(), revision, signal);
    assert.deepEqual(await one.entry("leader", signal), { value: undefined, revision: removed });
    assert.equal(await one.get("leader", signal), undefined);
    assert.ok(await one.replace("leader", bytes("again"), removed!, signal));
    assert.ok(await other.replace("leader", bytes("another cluster's"), 0, signal));
    assert.deepEqual(await one.get("leader", signal), bytes("again"));
  });

  test("a bucket that was deleted comes back as another one, empty", async (lab) => {
    const store = await lab.open();
    await store.put("node-1", bytes("a"), signal);
    const before = (await store.list(signal))!;
    await lab.deleteBucket();
    assert.equal(await store.list(signal), undefined);
    await store.put("node-2", bytes("b"), signal);
    const after = (await store.list(signal))!;
    assert.notEqual(after.created, before.created);
    assert.deepEqual(after.keys, ["node-2"]);
  });

  test("the largest value comes back whole, and a larger one is refused", async (lab) => {
    const store = await lab.open();
    const largest = crypto.getRandomValues(new Uint8Array(65_536));
    const value = new Uint8Array(store.maxValueBytes).map((_, at) => largest[at % 65_536]!);
    await store.put("node-1", value, signal);
    assert.deepEqual(await store.get("node-1", signal), value);
    await assert.rejects(
      store.put("node-1", new Uint8Array(store.maxValueBytes + 10_000), signal),
      (error) => error instanceof StreamError && error.code === "MESSAGE_TOO_LARGE" && !error.transient,
    );
  });

  test("an aborted call rejects with the signal's reason", async (lab) => {
    const store = await lab.open();
    const aborted = AbortSignal.abort(new Error("enough"));
    for (const call of [store.put("a", bytes("a"), aborted), store.list(aborted), store.get("a", aborted)]) {
      await assert.rejects(call, /enough/);
    }
  });
}

Deno.test("entries of a bucket that the Go original made expire no longer, and one that a client deletes is gone", async () => {
  await using lab = new JetStreamLab(await startNatsServer());
  const connection = await lab.connect();
  const manager = await jetstreamManager(connection);
  await manager.streams.add(
    {
      name: `KV_${BUCKET}`,
      subjects: [`$KV.${BUCKET}.>`],
      max_msgs_per_subject: 1,
      max_age: 300_000_000_000,
      allow_rollup_hdrs: true,
      deny_delete: true,
      allow_direct: true,
      discard: "new",
    } as Parameters<typeof manager.streams.add>[0],
  );
  connection.publish(`$KV.${BUCKET}.node-42`, '{"node_id":42,"schema_hash":"x"}');
  const store = await lab.open();
  await store.put("node-1", bytes("a"), signal);
  assert.deepEqual((await store.list(signal))?.keys, ["node-1", "node-42"]);
  assert.equal((await manager.streams.info(`KV_${BUCKET}`)).config.max_age, 0);
  await connection.request(`$KV.${BUCKET}.node-42`, "");
  assert.equal(await store.get("node-42", signal), undefined);
});

Deno.test("a server that is away is a failure that heals", async () => {
  await using lab = new JetStreamLab(await startNatsServer());
  const store = await lab.open();
  await store.put("node-1", bytes("a"), signal);
  await lab.server.kill();
  const isTransient = (error: unknown): boolean => error instanceof StreamError && error.transient;
  await assert.rejects(store.list(signal), isTransient);
  await assert.rejects(store.put("node-1", bytes("b"), signal), isTransient);
});
