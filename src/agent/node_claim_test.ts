import assert from "node:assert/strict";
import { eventually } from "../../tests/support/eventually.ts";
import { captureLogger } from "../observe/logger.ts";
import { MemoryBuckets, type MemoryKeyValue } from "../stream/memory_key_value.ts";
import { NodeClaim, NODES_BUCKET } from "./node_claim.ts";

const SETTINGS = { bucket: NODES_BUCKET, folder: "", replicas: 1 };
const KEY = "node-9223372036854775807";
const never = new AbortController().signal;

/** A running node under one id. */
class Runner implements AsyncDisposable {
  readonly logger = captureLogger();
  readonly store: MemoryKeyValue;
  nowMs = 0;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(buckets: MemoryBuckets, instance: string) {
    this.store = buckets.connect(SETTINGS);
    const own = { instance, host: `host of ${instance}`, database: "/app.db", process: 7, startedAt: "now" };
    const { logger, store } = this;
    const claim = new NodeClaim({
      store,
      node: (1n << 63n) - 1n,
      own,
      logger,
      now: () => this.nowMs,
      checkIntervalMs: 1,
    });
    this.#ended = claim.run({ signal: this.#stop.signal });
  }

  get errors(): string[] {
    return this.logger.lines.filter(({ level }) => level === "error").map(({ properties }) =>
      String(properties["there"])
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}

async function entryOf(store: MemoryKeyValue): Promise<Record<string, unknown>> {
  const bytes = await store.get(KEY, never);
  return bytes ? JSON.parse(new TextDecoder().decode(bytes)) : {};
}

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
}

Deno.test("two running nodes with one id are told on both, once a minute, for as long as both run", async () => {
  const buckets = new MemoryBuckets();
  await using first = new Runner(buckets, "first");
  await eventually("the first is there", async () => (await entryOf(first.store))["instance"] === "first");
  {
    await using second = new Runner(buckets, "second");
    await eventually("both know", () => {
      assert.deepEqual(first.errors, ["host of second: /app.db, process 7"]);
      assert.deepEqual(second.errors, ["host of first: /app.db, process 7"]);
    });
    await turns();
    assert.equal(first.errors.length, 1, "not at every look");
    first.nowMs += 60_000;
    await eventually("it is said again", () => first.errors.length === 2);
  }
  await eventually(
    "the first is there again",
    async () => (await entryOf(first.store))["instance"] === "first",
  );
  first.nowMs += 600_000;
  await turns();
  assert.equal(first.errors.length, 2);
});

Deno.test("a node that comes back after a crash takes its entry over, also one that was put after its own", async () => {
  const buckets = new MemoryBuckets();
  await new Runner(buckets, "dead")[Symbol.asyncDispose]();
  await using next = new Runner(buckets, "next");
  await eventually("it is there", async () => (await entryOf(next.store))["instance"] === "next");
  // On its way for long when its writer died.
  await next.store.put(KEY, new TextEncoder().encode('{"instance":"dead"}'), never);
  await eventually("it is there again", async () => (await entryOf(next.store))["instance"] === "next");
  await turns();
  assert.deepEqual(next.errors, []);
});

Deno.test("an outage, a bucket that is gone and an entry that nobody understands do not end the node", async () => {
  const buckets = new MemoryBuckets();
  await using node = new Runner(buckets, "one");
  await eventually("it is there", async () => (await entryOf(node.store))["instance"] === "one");
  node.store.setConnected(false);
  await turns();
  node.store.setConnected(true);
  buckets.delete(NODES_BUCKET);
  await eventually("it is there again", async () => (await entryOf(node.store))["instance"] === "one");
  for (const noise of ["", "null", "[1]", "{"]) {
    await node.store.put(KEY, new TextEncoder().encode(noise), never);
    await eventually(
      "it is there again",
      async () => (await entryOf(node.store))["instance"] === "one",
    );
  }
  assert.deepEqual(node.errors, []);
  assert.equal((await entryOf(node.store))["node_id"], Number((1n << 63n) - 1n));
});
