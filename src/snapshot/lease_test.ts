import assert from "node:assert/strict";
import { eventually } from "../../tests/support/eventually.ts";
import { StreamError } from "../lib/errors.ts";
import { MemoryBuckets, type MemoryKeyValue } from "../stream/memory_key_value.ts";
import { LEADER, Lease, LEASE_BUCKET, withLease } from "./lease.ts";

/** The loops look each hundredth of a second; whether the time is over is decided by the clock of the test. */
const TTL_MS = 60;
const SETTINGS = { bucket: LEASE_BUCKET, folder: "", replicas: 1 };
const never = new AbortController().signal;

class Cluster {
  readonly buckets = new MemoryBuckets();
  nowMs = 0;

  start(node: number): Candidate {
    return new Candidate(this.buckets.connect(SETTINGS), { node }, () => this.nowMs);
  }

  /** Time passes; each node has looked some times before and after. */
  async pass(ms: number): Promise<void> {
    await looks();
    this.nowMs += ms;
    await looks();
  }
}

class Candidate implements AsyncDisposable {
  readonly store: MemoryKeyValue;
  readonly lease: Lease;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(store: MemoryKeyValue, holder: { node: number }, now: () => number) {
    this.store = store;
    this.lease = new Lease({ store, key: LEADER, holder, ttlMs: TTL_MS, now });
    this.#ended = this.lease.run({ signal: this.#stop.signal });
  }

  get isHeld(): boolean {
    return this.lease.isHeld;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}

async function looks(): Promise<void> {
  for (let i = 0; i < 30; i++) await new Promise((resolve) => setTimeout(resolve, 2));
}

Deno.test("one of several has the lease, and keeps it while it lives", async () => {
  const cluster = new Cluster();
  await using first = cluster.start(1);
  await first.lease.acquired;
  await using second = cluster.start(2);
  await using third = cluster.start(3);
  for (let round = 0; round < 5; round++) {
    await cluster.pass(TTL_MS / 3);
    assert.deepEqual([first, second, third].map(({ isHeld }) => isHeld), [true, false, false]);
  }
  const entry = JSON.parse(new TextDecoder().decode(await second.store.get(LEADER, never)));
  assert.equal(entry.node, 1);
});

Deno.test("a holder that is cut off gives up before another takes over, within the time of the lease", async () => {
  const cluster = new Cluster();
  await using first = cluster.start(1);
  const lost = await first.lease.acquired;
  await using second = cluster.start(2);
  await cluster.pass(1);
  first.store.setConnected(false);
  await cluster.pass(TTL_MS / 2);
  assert.deepEqual([first.isHeld, second.isHeld], [true, false]);
  await cluster.pass(TTL_MS / 2 - 1);
  assert.deepEqual([first.isHeld, second.isHeld], [false, true]);
  assert.match(String(lost.reason), /Cannot keep the lease "snapshot-leader"/);
  first.store.setConnected(true);
  await cluster.pass(TTL_MS / 3);
  assert.deepEqual([first.isHeld, second.isHeld], [false, true]);
});

Deno.test("a holder that ends in good order is replaced at once", async () => {
  const cluster = new Cluster();
  const first = cluster.start(1);
  await first.lease.acquired;
  await using second = cluster.start(2);
  await cluster.pass(1);
  await first[Symbol.asyncDispose]();
  await eventually("the second has it", () => second.isHeld);
  assert.ok(!first.isHeld);
});

Deno.test("a holder whose entry was put anew, by a lost answer, a removed bucket or a stranger, goes on or gives up", async () => {
  const cluster = new Cluster();
  await using first = cluster.start(1);
  const lost = await first.lease.acquired;
  // Stored, but the answer did not come: the entry has another revision than the holder knows.
  const own = (await first.store.get(LEADER, never))!;
  await first.store.put(LEADER, own, never);
  await cluster.pass(TTL_MS / 3);
  assert.ok(first.isHeld && !lost.aborted);
  cluster.buckets.delete(LEASE_BUCKET);
  await eventually("it is there again", async () => await first.store.get(LEADER, never) !== undefined);
  await first.store.put(LEADER, new TextEncoder().encode("a node of the Go original"), never);
  await eventually("it gives up", () => lost.aborted && !first.isHeld);
  await cluster.pass(TTL_MS);
  assert.ok(first.isHeld, "that node does not renew it");
});

Deno.test("work under a lease takes turns, and is aborted when the lease is lost", async () => {
  const cluster = new Cluster();
  const stores = [1, 2, 3].map(() => cluster.buckets.connect(SETTINGS));
  const optionsOf = (store: MemoryKeyValue): ConstructorParameters<typeof Lease>[0] => ({
    store,
    key: "snapshot-writer",
    holder: { node: 1 },
    ttlMs: TTL_MS,
    now: () => cluster.nowMs,
  });
  let inside = 0;
  const results = await Promise.all(stores.map((store, at) =>
    withLease(optionsOf(store), never, async () => {
      assert.equal(++inside, 1);
      await looks();
      inside--;
      return at;
    })
  ));
  assert.deepEqual(results, [0, 1, 2]);
  const [store] = stores;
  const working = withLease(optionsOf(store!), never, async (signal) => {
    store!.setConnected(false);
    cluster.nowMs += TTL_MS;
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  });
  await assert.rejects(working, { code: "LEASE_LOST" });
  const waiting = withLease(optionsOf(store!), AbortSignal.timeout(50), () => Promise.resolve());
  await assert.rejects(waiting, { name: "TimeoutError" });
});

Deno.test("a lease that is refused for good is not waited for", async () => {
  const store = new Cluster().buckets.connect(SETTINGS);
  store.entry = () =>
    Promise.reject(new StreamError("PERMISSION_DENIED", "not allowed", { transient: false }));
  const options = { store, key: LEADER, holder: { node: 1 }, ttlMs: TTL_MS, now: () => 0 };
  await assert.rejects(withLease(options, never, () => Promise.resolve()), { code: "PERMISSION_DENIED" });
});
