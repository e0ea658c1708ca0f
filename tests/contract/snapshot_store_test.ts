import assert from "node:assert/strict";
import { secretsOf } from "../../src/config/config.ts";
import type { SnapshotStore } from "../../src/snapshot/store.ts";
import { StoreError } from "../../src/snapshot/store_error.ts";
import { STORE_LIMITS } from "../../src/snapshot/transfer.ts";
import { CuttingProxy } from "../support/cutting_proxy.ts";
import { eventually } from "../support/eventually.ts";
import { type Access, configOf, openFrom, type StoreLab } from "./snapshot_store_lab.ts";
import { STORE_LABS } from "./store_labs.ts";

const LARGE_BYTES = 20 << 20;
const NAME = "snapshot.db";
const never = new AbortController().signal;
/** For connections that hang: nobody waits a minute here. */
const IMPATIENT = { ...STORE_LIMITS, connectMs: 2_000, stallMs: 2_000, slowestBytesPerSecond: 10 << 20 };

const LARGE = randomBytes(LARGE_BYTES);
const OLD = new TextEncoder().encode("the snapshot before");
const NEW = new TextEncoder().encode("the snapshot after");

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 1 << 16) crypto.getRandomValues(bytes.subarray(at, at + (1 << 16)));
  return bytes;
}

/** In pieces whose sizes have nothing to do with those of any store. */
async function* piecesOf(
  bytes: Uint8Array,
  options: { failAt?: number; hangAt?: number } = {},
): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 99_991) {
    if (options.failAt !== undefined && at >= options.failAt) throw new SourceFailure();
    if (options.hangAt !== undefined && at >= options.hangAt) await new Promise(() => {});
    yield await Promise.resolve(bytes.subarray(at, at + 99_991));
  }
}

class SourceFailure extends Error {}

function open(lab: StoreLab, folder: string, access?: Access): Promise<SnapshotStore> {
  return openFrom(lab, lab.toml(folder, access));
}

function put(
  store: SnapshotStore,
  name: string,
  bytes: Uint8Array,
  signal: AbortSignal = never,
): Promise<void> {
  return store.put(name, piecesOf(bytes), { size: bytes.length, signal });
}

async function read(store: SnapshotStore, name: string): Promise<Uint8Array | undefined> {
  const object = await store.get(name, never);
  if (object === undefined) return undefined;
  const bytes = await collect(object.content);
  assert.equal(bytes.length, object.size);
  return bytes;
}

async function collect(content: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(Uint8Array.from(chunk)); // The next one may take its place.
  return new Uint8Array(Buffer.concat(chunks));
}

async function assertHolds(store: SnapshotStore, objects: Record<string, Uint8Array>): Promise<void> {
  const listed = await store.list(never);
  assert.deepEqual(
    listed.map(({ name, size }) => [name, size]),
    Object.entries(objects).map(([name, bytes]) => [name, bytes.length]),
  );
  for (const [name, bytes] of Object.entries(objects)) {
    assert.ok(Buffer.from(await read(store, name) ?? []).equals(bytes), `${name} is not what was put`);
  }
}

type Case = (lab: StoreLab, folder: string) => Promise<void>;

const CASES: Record<string, Case> = {
  "what was put is got back: empty, one byte, 20 MB": async (lab, folder) => {
    await using store = await open(lab, folder);
    const objects = { "a-empty": new Uint8Array(), "b-byte": Uint8Array.of(0), "c-large": LARGE };
    for (const [name, bytes] of Object.entries(objects)) await put(store, name, bytes);
    await assertHolds(store, objects);
    assert.deepEqual(await lab.leftovers(folder, Object.keys(objects)), []);
    const before = Date.now() + 60_000;
    for (const { modifiedMs } of await store.list(never)) {
      assert.ok(modifiedMs > before - 240_000 && modifiedMs < before);
    }
  },

  "an empty store has no objects": async (lab, folder) => {
    await using store = await open(lab, folder);
    assert.deepEqual(await store.list(never), []);
    assert.equal(await store.get(NAME, never), undefined);
    await store.delete(NAME, never);
    await assert.rejects(store.rename(NAME, "other", never), { name: "StoreError", code: "NOT_FOUND" });
    await put(store, NAME, OLD);
    assert.equal(await store.get("other", never), undefined);
    await store.delete("other", never);
    await assert.rejects(store.rename("other", NAME, never), { name: "StoreError", code: "NOT_FOUND" });
    await assertHolds(store, { [NAME]: OLD });
  },

  "a put replaces, a rename takes the place of another, a delete removes": async (lab, folder) => {
    await using store = await open(lab, folder);
    await put(store, NAME, LARGE);
    await put(store, NAME, OLD);
    await assertHolds(store, { [NAME]: OLD });
    await put(store, "next.db", LARGE);
    await store.rename(NAME, "kept.db", never);
    await store.rename("next.db", NAME, never);
    await assertHolds(store, { "kept.db": OLD, [NAME]: LARGE });
    await store.rename(NAME, "kept.db", never);
    await assertHolds(store, { "kept.db": LARGE });
    assert.deepEqual(await lab.leftovers(folder, ["kept.db"]), []);
    await store.delete("kept.db", never);
    await assertHolds(store, {});
    assert.deepEqual(await lab.leftovers(folder, []), []);
  },

  "two folders do not see each other": async (lab, folder) => {
    await using one = await open(lab, folder);
    await using other = await open(lab, `${folder}-b`);
    await put(one, NAME, OLD);
    await put(other, NAME, NEW);
    await put(other, "more.db", NEW);
    await assertHolds(one, { [NAME]: OLD });
    await one.delete(NAME, never);
    await assertHolds(other, { "more.db": NEW, [NAME]: NEW });
  },

  "a put that is aborted leaves what was there": async (lab, folder) => {
    await using store = await open(lab, folder);
    await put(store, NAME, OLD);
    for (const hangAt of [0, LARGE_BYTES / 2]) {
      const abort = new AbortController();
      const putting = store.put(NAME, piecesOf(LARGE, { hangAt }), {
        size: LARGE_BYTES,
        signal: abort.signal,
      });
      setTimeout(() => abort.abort(new Error("no more interest")), 300);
      await assert.rejects(putting, /no more interest/);
      await assertHolds(store, { [NAME]: OLD });
    }
    assert.deepEqual(await lab.leftovers(folder, [NAME]), []);
    await assert.rejects(put(store, NAME, NEW, AbortSignal.abort(new Error("too late"))), /too late/);
    await assertHolds(store, { [NAME]: OLD });
  },

  "a source that throws, or has another size, leaves what was there": async (lab, folder) => {
    await using store = await open(lab, folder);
    await put(store, NAME, OLD);
    const source = piecesOf(LARGE, { failAt: LARGE_BYTES / 2 });
    await assert.rejects(store.put(NAME, source, { size: LARGE_BYTES, signal: never }), SourceFailure);
    for (const size of [0, LARGE_BYTES - 1, LARGE_BYTES + 1]) {
      const putting = store.put(NAME, piecesOf(LARGE), { size, signal: never });
      await assert.rejects(putting, { name: "StoreError", code: "WRONG_SIZE" });
    }
    await assertHolds(store, { [NAME]: OLD });
    assert.deepEqual(await lab.leftovers(folder, [NAME]), []);
  },

  "a get that is aborted or left early ends at once": async (lab, folder) => {
    await using store = await open(lab, folder);
    await put(store, NAME, LARGE);
    const abort = new AbortController();
    const object = await store.get(NAME, abort.signal);
    const reading = (async () => {
      for await (const _ of object?.content ?? []) abort.abort(new Error("no more interest"));
    })();
    await assert.rejects(reading, /no more interest/);
    for await (const _ of (await store.get(NAME, never))?.content ?? []) break;
    await assert.rejects(store.get(NAME, AbortSignal.abort(new Error("too late"))), /too late/);
    await assertHolds(store, { [NAME]: LARGE });
  },

  "an object that is damaged on the server throws, and does not end quietly": async (lab, folder) => {
    await using store = await open(lab, folder);
    await put(store, NAME, LARGE);
    const object = await store.get(NAME, never);
    await lab.damage(folder, NAME);
    await assert.rejects(collect(object?.content ?? piecesOf(OLD)), { name: "StoreError" });
  },

  "a store that is full leaves what was there": async (lab) => {
    const toml = await lab.startSmall();
    if (toml === undefined) return;
    await using store = await openFrom(lab, toml);
    await put(store, NAME, OLD);
    const failure = await put(store, NAME, LARGE).catch((error) => error);
    assert.ok(failure instanceof StoreError, String(failure));
    console.log(`    ${failure.message}`);
    assert.ok(lab.fullCodes.includes(failure.code), failure.code);
    await assertHolds(store, { [NAME]: OLD });
    await put(store, NAME, NEW);
    await assertHolds(store, { [NAME]: NEW });
  },
};

/** For stores behind a connection. */
const CONNECTION_CASES: Record<string, Case> = {
  "a connection that is cut within a put leaves what was there, and the next put removes the rest": async (
    lab,
    folder,
  ) => {
    await using store = await open(lab, folder);
    await put(store, NAME, OLD);
    for (const at of [1, LARGE_BYTES / 2]) {
      await using proxy = new CuttingProxy(lab.port ?? 0);
      await using cut = await open(lab, folder, { port: proxy.port });
      proxy.cutAfter(at, "up");
      await assertFailsInPassing(lab, put(cut, NAME, LARGE));
      await assertHolds(store, { [NAME]: OLD });
    }
    await put(store, NAME, NEW);
    await assertHolds(store, { [NAME]: NEW });
    await eventually("nothing else is left", async () => {
      assert.deepEqual(await lab.leftovers(folder, [NAME]), []);
    });
  },

  "a connection that is cut within a get throws": async (lab, folder) => {
    await using store = await open(lab, folder);
    await put(store, NAME, LARGE);
    await using proxy = new CuttingProxy(lab.port ?? 0);
    await using cut = await open(lab, folder, { port: proxy.port });
    proxy.cutAfter(LARGE_BYTES / 2, "down");
    await assertFailsInPassing(lab, read(cut, NAME));
  },

  "a connection that hangs is given up": async (lab, folder) => {
    await using store = await open(lab, folder);
    await put(store, NAME, OLD);
    for (const direction of ["up", "down"] as const) {
      await using proxy = new CuttingProxy(lab.port ?? 0);
      await using hung = await openFrom(lab, lab.toml(folder, { port: proxy.port }), IMPATIENT);
      if (direction === "down") await put(store, NAME, LARGE);
      proxy.hangAfter(LARGE_BYTES / 2, direction);
      await assertFailsInPassing(lab, direction === "up" ? put(hung, NAME, LARGE) : read(hung, NAME));
    }
    await assertHolds(store, { [NAME]: LARGE });
  },

  "a wrong secret and an absent server are told in one clear sentence": async (lab, folder) => {
    await using absent = new CuttingProxy(lab.port ?? 0);
    absent.cutAfter(0, "up");
    const failures = [
      await attempt(() => open(lab, folder, { wrongSecret: true })),
      await attempt(() => open(lab, folder, { port: absent.port })),
    ];
    for (const failure of failures) {
      assert.ok(failure instanceof Error);
      console.log(`    ${failure.message}`);
      assert.ok(!failure.message.includes("\n") && "hint" in failure);
      for (const secret of lab.secrets) assert.ok(!failure.message.includes(secret));
    }
    assert.deepEqual(failures.map((failure) => "transient" in failure && failure.transient), [false, true]);
  },
};

async function attempt(open: () => Promise<SnapshotStore>): Promise<Error> {
  try {
    await using store = await open();
    await store.list(never);
  } catch (error) {
    assert.ok(error instanceof Error);
    return error;
  }
  return assert.fail("it worked");
}

async function assertFailsInPassing(lab: StoreLab, work: Promise<unknown>): Promise<void> {
  const failure = await work.then(() => assert.fail("it worked"), (error) => error);
  assert.ok(failure instanceof StoreError, String(failure?.stack ?? failure));
  console.log(`    ${failure.code}: ${failure.message}`);
  assert.equal(failure.transient, true, failure.message);
  for (const secret of lab.secrets) assert.ok(!failure.message.includes(secret));
}

for (const [kind, start] of Object.entries(STORE_LABS)) {
  // ssh2 has a decipher for each packet, which Deno keeps when the connection is cut within one.
  const sanitizeResources = kind !== "sftp";
  Deno.test({ name: `snapshot store ${kind}: the contract`, sanitizeResources }, async (t) => {
    await using lab = await start();
    console.log(`snapshot store ${kind}: ${lab.adapter}`);
    const known = secretsOf(configOf(lab.toml("any")));
    for (const secret of lab.secrets) assert.ok(known.includes(secret), "the log would not redact a secret");
    const cases = { ...CASES, ...lab.port === undefined ? {} : CONNECTION_CASES };
    for (const [index, [name, run]] of Object.entries(cases).entries()) {
      await t.step(name, () => run(lab, `case-${index}`));
    }
  });
}
