import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { makeTempDir, type TempDir } from "../../tests/support/temp.ts";
import type { Position } from "../apply/position.ts";
import { FileStore } from "./file_store.ts";
import { Generations } from "./generations.ts";
import type { Generation, SnapshotFacts } from "./manifest.ts";
import type { SnapshotStore } from "./store.ts";
import { StoreError } from "./store_error.ts";

const never = new AbortController().signal;
const START_MS = Date.UTC(2026, 10, 21, 15, 54, 3);
const STREAM = { stream: "changes-1", shard: 1, created: "2026-01-02T03:04:05.5Z", time: 7n };

class Stopped extends Error {}

/** A folder as a store, of which each step can be made the last one. */
class Lab implements AsyncDisposable {
  readonly #folder: TempDir;
  readonly files: FileStore;
  #taken = 0;
  /** Whether a manifest came into a store that ends at a step. */
  isListed = false;

  constructor(folder: TempDir) {
    this.#folder = folder;
    Deno.mkdirSync(folder.file("store"));
    this.files = new FileStore({ path: folder.file("store") });
  }

  static async open(): Promise<Lab> {
    return new Lab(await makeTempDir());
  }

  generations(prefix = ""): Generations {
    return new Generations(this.files, prefix);
  }

  path(name: string): string {
    return this.#folder.file(name);
  }

  /** What the store holds, without the manifest: name to content. */
  get objects(): Record<string, string> {
    const names = [...Deno.readDirSync(this.path("store"))].map(({ name }) => name).sort();
    const databases = names.filter((name) => !name.endsWith(".json"));
    return Object.fromEntries(
      databases.map((name) => [name, Deno.readTextFileSync(this.path(`store/${name}`))]),
    );
  }

  /** Adds a snapshot whose content is its number, taken a minute after the one before. */
  async add(generations = this.generations(), keep = 3, sequence = this.#taken + 1): Promise<Generation> {
    const path = this.path("copy.db");
    await Deno.writeTextFile(path, `snapshot ${++this.#taken}`);
    return await generations.add(path, this.facts([{ ...STREAM, sequence }]), { keep, signal: never });
  }

  facts(positions: readonly Position[]): SnapshotFacts {
    const timeMs = START_MS + 60_000 * (this.#taken - 1);
    return { timeMs, node: (1n << 63n) - 1n, schema: "5ca1ab1e", positions };
  }

  /** The contents of all that is listed, the newest first. */
  async read(generations = this.generations()): Promise<string[]> {
    const contents: string[] = [];
    for (const generation of await generations.list(never)) {
      const path = this.path("fetched.db");
      await generations.fetch(generation, path, { signal: never });
      await generations.verify(generation, { signal: never });
      contents.push(Deno.readTextFileSync(path));
      Deno.removeSync(path);
    }
    return contents;
  }

  /** A store that ends at a step from now on: a writer that is killed there. */
  stopAt(step: number, isCopying = false): SnapshotStore {
    let done = 0;
    this.isListed = false;
    const next = <T>(work: () => Promise<T>): Promise<T> =>
      done++ === step ? Promise.reject(new Stopped()) : work();
    const { files } = this;
    return {
      description: files.description,
      get: (name, signal) => files.get(name, signal),
      list: (signal) => files.list(signal),
      put: async (name, content, options) => {
        await next(() => files.put(name, content, options));
        this.isListed ||= name.endsWith(".json");
      },
      delete: (name, signal) => next(() => files.delete(name, signal)),
      rename: async (from, to, signal) => {
        if (!isCopying) return await next(() => files.rename(from, to, signal));
        await next(() => Deno.copyFile(this.path(`store/${from}`), this.path(`store/${to}`)).catch(asStore));
        await next(() => files.delete(from, signal));
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }
}

function asStore(): never {
  throw new StoreError("NOT_FOUND", "there is no such object", { transient: false });
}

Deno.test("the newest snapshot is snapshot.db, older ones have the name of their time, as many as are kept", async () => {
  await using lab = await Lab.open();
  assert.deepEqual(await lab.generations().list(never), []);
  const first = await lab.add();
  assert.deepEqual(lab.objects, { "snapshot.db": "snapshot 1" });
  assert.deepEqual(await lab.generations().list(never), [{
    name: "snapshot-20261121T155403Z.db",
    size: 10,
    sha256: createHash("sha256").update("snapshot 1").digest("hex"),
    timeMs: START_MS,
    node: (1n << 63n) - 1n,
    schema: "5ca1ab1e",
    positions: [{ ...STREAM, sequence: 1 }],
  }]);
  assert.deepEqual(await lab.generations().list(never), [first]);
  for (let number = 2; number <= 5; number++) await lab.add();
  assert.deepEqual(lab.objects, {
    "snapshot-20261121T155603Z.db": "snapshot 3",
    "snapshot-20261121T155703Z.db": "snapshot 4",
    "snapshot.db": "snapshot 5",
  });
  assert.deepEqual(await lab.read(), ["snapshot 5", "snapshot 4", "snapshot 3"]);
  await lab.add(undefined, 1);
  assert.deepEqual(lab.objects, { "snapshot.db": "snapshot 6" });
});

for (const isCopying of [false, true]) {
  for (const keep of [1, 2]) {
    const store = isCopying ? "a store that copies to rename" : "a store that renames";
    Deno.test(`a writer killed at any step leaves whole snapshots, and the next one goes on: ${store}, ${keep} kept`, async () => {
      for (let step = 0, isStopped = true; isStopped; step++) {
        await using lab = await Lab.open();
        await lab.add(undefined, keep);
        await lab.add(undefined, keep);
        const before = await lab.read();
        isStopped = await lab.add(new Generations(lab.stopAt(step, isCopying), ""), keep)
          .then(() => false, (error) => error instanceof Stopped);
        const after = await lab.read();
        const expected = ["snapshot 3", ...before].slice(0, keep);
        assert.deepEqual(after, lab.isListed ? expected : before, `stopped at step ${step}`);
        // The next one is killed at once as well, at each of its steps.
        for (let again = 0; again < 6; again++) {
          await lab.add(new Generations(lab.stopAt(again, isCopying), ""), keep).catch(() => {});
          assert.equal((await lab.read()).length, keep, `stopped at step ${step}, then ${again}`);
        }
        await lab.add(undefined, keep);
        const [latest] = await lab.read();
        assert.equal(latest, "snapshot 10");
        assert.equal(lab.objects["snapshot.db"], "snapshot 10");
        assert.equal(Object.keys(lab.objects).length, keep, "nothing is left over");
      }
    });
  }
}

Deno.test("a snapshot.db that nobody has listed counts, and is kept when one is added", async () => {
  await using lab = await Lab.open();
  Deno.writeTextFileSync(lab.path("store/snapshot.db"), "by hand");
  const [lone, ...none] = await lab.generations().list(never);
  assert.deepEqual(none, []);
  assert.deepEqual([lone!.size, lone!.sha256, lone!.node, lone!.positions], [7, undefined, undefined, []]);
  assert.deepEqual(await lab.read(), ["by hand"]);
  await lab.add(undefined, 2);
  assert.deepEqual(await lab.read(), ["snapshot 1", "by hand"]);
  await lab.add(undefined, 2);
  assert.deepEqual(await lab.read(), ["snapshot 2", "snapshot 1"]);
});

Deno.test("a manifest that is not understood is said to be so, and nothing is changed", async () => {
  await using lab = await Lab.open();
  await lab.add();
  const path = lab.path("store/snapshot.json");
  const good = Deno.readTextFileSync(path);
  const bad = [
    "",
    "[]",
    "null",
    good.replace('"version": 1', '"version": 2'),
    good.replace("snapshot-2026", "../snapshot-2026"),
    good.replace('"size": 10', '"size": "10"'),
    good.replace('"sequence": 1', '"sequence": -1'),
    good.replace(/"sha256": "../, '"sha256": "'),
    good.replace(/"time": "2026/, '"time": "soon'),
    good.replace(/"positions": \[/, '"positions": ["changes-1",'),
  ];
  for (const text of bad) {
    assert.notEqual(text, good);
    Deno.writeTextFileSync(path, text);
    const code = { name: "SnapshotError", code: "MANIFEST_UNREADABLE", message: /snapshot\.json/ };
    await assert.rejects(lab.generations().list(never), code, text);
    await assert.rejects(lab.add(), code, text);
    assert.deepEqual(lab.objects, { "snapshot.db": "snapshot 1" });
    assert.equal(Deno.readTextFileSync(path), text);
  }
});

Deno.test("a snapshot that is behind the newest on any stream is refused", async () => {
  await using lab = await Lab.open();
  const add = async (...positions: Position[]): Promise<void> => {
    await Deno.writeTextFile(lab.path("copy.db"), "copy");
    await lab.generations().add(lab.path("copy.db"), lab.facts(positions), { keep: 3, signal: never });
  };
  const second = { ...STREAM, stream: "changes-2", shard: 2 };
  await add({ ...STREAM, sequence: 10 }, { ...second, sequence: 10 });
  const refused = { name: "SnapshotError", code: "SNAPSHOT_BEHIND" };
  await assert.rejects(add({ ...STREAM, sequence: 9 }, { ...second, sequence: 11 }), refused);
  await assert.rejects(add({ ...STREAM, sequence: 11 }), refused, "a stream that it has not read at all");
  await assert.rejects(add(), refused);
  const older = { ...second, created: "2026-01-02T03:04:05.49Z", sequence: 99 };
  await assert.rejects(add({ ...STREAM, sequence: 10 }, older), refused, "a stream that exists no more");
  await add({ ...STREAM, sequence: 10 }, { ...second, sequence: 10 });
  const recreated = { ...second, stream: "changes-c-2", created: "2026-01-02T03:04:05.51Z", sequence: 1 };
  await add({ ...STREAM, sequence: 10 }, recreated);
  await add({ ...STREAM, sequence: 10 }, recreated, {
    ...STREAM,
    shard: 3,
    stream: "changes-3",
    sequence: 0,
  });
});

Deno.test("a snapshot that was altered or removed is never handed out", async () => {
  await using lab = await Lab.open();
  await lab.add();
  await lab.add();
  const [newest, older] = await lab.generations().list(never);
  const fetch = (generation: Generation): Promise<void> =>
    lab.generations().fetch(generation, lab.path("fetched.db"), { signal: never });
  const damage = { name: "SnapshotError", code: "SNAPSHOT_DAMAGED" };
  for (const text of ["snapshot 3", "snapshot", "snapshot 22", ""]) {
    Deno.writeTextFileSync(lab.path("store/snapshot.db"), text);
    await assert.rejects(fetch(newest!), damage, text);
    await assert.rejects(lab.generations().verify(newest!, { signal: never }), damage, text);
    Deno.writeTextFileSync(lab.path(`store/${older!.name}`), text);
    await assert.rejects(fetch(older!), damage, text);
  }
  Deno.removeSync(lab.path("store/snapshot.db"));
  await assert.rejects(fetch(newest!), { name: "SnapshotError", code: "SNAPSHOT_MISSING" });
  assert.deepEqual([...Deno.readDirSync(lab.path("."))].map(({ name }) => name).sort(), ["copy.db", "store"]);
  // One that is gone does not keep others from coming.
  await lab.add();
  assert.equal(lab.objects["snapshot.db"], "snapshot 3");
});

Deno.test("a snapshot is fetched for this user alone, never over a file that is there, and with news on the way", async () => {
  await using lab = await Lab.open();
  const content = new Uint8Array(1_000_000).fill(7);
  await Deno.writeFile(lab.path("copy.db"), content);
  const put: number[] = [];
  const positions = [{ ...STREAM, sequence: 1 }];
  const options = { keep: 3, signal: never, onProgress: ({ done }: { done: number }) => put.push(done) };
  const generation = await lab.generations().add(lab.path("copy.db"), lab.facts(positions), options);
  assert.ok(put.length > 2 && put.at(-1) === content.length);
  const path = lab.path("fetched.db");
  const got: number[] = [];
  await lab.generations().fetch(generation, path, {
    signal: never,
    onProgress: ({ done }) => got.push(done),
  });
  assert.ok(got.length > 2 && got.at(-1) === content.length);
  assert.deepEqual(Deno.readFileSync(path), content);
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
  await assert.rejects(lab.generations().fetch(generation, path, { signal: never }), {
    code: "COPY_UNWRITABLE",
  });
  assert.deepEqual(Deno.readFileSync(path), content);
  const abort = new AbortController();
  const onProgress = (): void => abort.abort(new Error("no more interest"));
  const aborted = lab.generations().fetch(generation, lab.path("b.db"), { signal: abort.signal, onProgress });
  await assert.rejects(aborted, /no more interest/);
  assert.throws(() => Deno.statSync(lab.path("b.db")), Deno.errors.NotFound);
});

Deno.test("clusters with two prefixes do not see each other's snapshots", async () => {
  await using lab = await Lab.open();
  const [shop, other, plain] = [lab.generations("shop-"), lab.generations("other-"), lab.generations()];
  for (const generations of [shop, other, plain, shop, other, plain]) await lab.add(generations, 1, 1);
  assert.deepEqual(lab.objects, {
    "other-snapshot.db": "snapshot 5",
    "shop-snapshot.db": "snapshot 4",
    "snapshot.db": "snapshot 6",
  });
  assert.deepEqual(await lab.read(shop), ["snapshot 4"]);
});
