import assert from "node:assert/strict";
import { RawText, type SqlValue } from "./event.ts";
import { hashKey, shardOf, shardOfTable } from "./shard.ts";

const KEYS: readonly (readonly SqlValue[])[] = [
  [],
  [1n, "x"],
  [-1n, 0.5],
  [null, new Uint8Array([0xff, 0])],
  ["üñí 🚀", 1n << 62n],
];

Deno.test("shard: the hash is 64-bit FNV-1 of an indefinite array", () => {
  // 9f, "t", ["a", 1], ff
  assert.equal(hashKey("t", ["a"], [1n]), fnv1(Uint8Array.fromHex("9f6174826161" + "01" + "ff")));
  assert.equal(hashKey("t", [], []), fnv1(Uint8Array.fromHex("9f6174ff")));
  const long = "x".repeat(2000);
  const bytes = new TextEncoder().encode(long).toHex();
  assert.equal(hashKey("t", ["k"], [long]), fnv1(Uint8Array.fromHex(`9f617482616b7907d0${bytes}ff`)));
});

Deno.test("shard: infinities and raw text are hashed in the form of the Go original", () => {
  const forms: [SqlValue, string][] = [
    [Infinity, "f97c00"],
    [-Infinity, "f9fc00"],
    [new RawText(new Uint8Array([0xff])), "61ff"],
    [1.0, "fb3ff0000000000000"],
  ];
  for (const [value, hex] of forms) {
    assert.equal(hashKey("t", ["k"], [value]), fnv1(Uint8Array.fromHex(`9f617482616b${hex}ff`)));
  }
});

Deno.test("shard: the lowest integer has one hash as INTEGER and as REAL", () => {
  assert.equal(hashKey("t", ["k"], [-(2 ** 63)]), hashKey("t", ["k"], [-(2n ** 63n)]));
});

Deno.test("shard: the shard is the hash modulo shards, counted from 1", () => {
  for (const values of KEYS) {
    const columns = ["a", "b"].slice(0, values.length);
    for (const shards of [1, 2, 3, 4, 7, 64, 1000, 65_535]) {
      const expected = Number(hashKey("table", columns, values) % BigInt(shards)) + 1;
      assert.equal(shardOf("table", columns, values, shards), expected);
    }
  }
});

Deno.test("shard: a table that stays together goes where its name says", () => {
  assert.equal(shardOfTable("users", 4), Number(hashKey("users", [], []) % 4n) + 1);
  assert.equal(shardOfTable("users", 1), 1);
});

Deno.test("shard: rows spread over all shards", () => {
  const counts = new Array<number>(4).fill(0);
  for (let id = 0n; id < 4000n; id++) {
    const shard = shardOf("users", ["id"], [id], 4);
    counts[shard - 1] = (counts[shard - 1] as number) + 1;
  }
  assert.ok(Math.min(...counts) > 800, String(counts));
});

/** The definition, in the plainest way. */
function fnv1(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, hash * 0x100000001b3n) ^ BigInt(byte);
  return hash;
}
