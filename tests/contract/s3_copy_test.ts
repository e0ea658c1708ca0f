import assert from "node:assert/strict";
import { S3Store } from "../../src/snapshot/s3_store.ts";
import { startS3Lab } from "./s3_store_lab.ts";
import { configOf } from "./snapshot_store_lab.ts";

const never = new AbortController().signal;
const MIB = 1 << 20;

/** Every megabyte differs, so that parts in another order would be seen. */
async function* megabytes(count: number): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index++) yield await Promise.resolve(new Uint8Array(MIB).fill(index));
}

Deno.test("S3: an object that is too large to be copied at once is renamed in parts", async () => {
  await using lab = await startS3Lab();
  const settings = configOf(lab.toml("copies")).snapshot.s3;
  await using store = new S3Store({ ...settings, copyPartBytes: 5 * MIB });
  await store.put("large.db", megabytes(17), { size: 17 * MIB, signal: never });
  await store.rename("large.db", "snapshot.db", never);
  assert.deepEqual((await store.list(never)).map(({ name, size }) => [name, size]), [[
    "snapshot.db",
    17 * MIB,
  ]]);
  let position = 0;
  for await (const chunk of (await store.get("snapshot.db", never))?.content ?? []) {
    for (const byte of chunk) {
      assert.equal(byte, Math.floor(position / MIB));
      position++;
    }
  }
  assert.equal(position, 17 * MIB);
  assert.deepEqual(await lab.leftovers("copies", ["snapshot.db"]), []);
});

Deno.test("S3: a bucket that does not exist is named, whatever is asked of it", async () => {
  await using lab = await startS3Lab();
  const settings = configOf(lab.toml("any")).snapshot.s3;
  await using store = new S3Store({ ...settings, bucket: "nowhere" });
  const attempts = [
    () => store.list(never),
    () => store.get("snapshot.db", never),
    () => store.rename("a.db", "b.db", never),
    () => store.delete("snapshot.db", never),
    () => store.put("snapshot.db", megabytes(1), { size: MIB, signal: never }),
    () => store.put("snapshot.db", megabytes(17), { size: 17 * MIB, signal: never }),
  ];
  for (const attempt of attempts) {
    await assert.rejects(attempt, { name: "StoreError", code: "NO_BUCKET", transient: false });
  }
});
