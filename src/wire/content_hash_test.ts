import assert from "node:assert/strict";
import { hashContent, hashSeed } from "./content_hash.ts";

const SEED = hashSeed(new Uint8Array([0x61, 0x74]), false);

Deno.test("content hash: flipping any one bit, or any two, changes it", () => {
  const hashes = new Set<number>();
  let inputs = 0;
  for (let first = 0; first < 96; first++) {
    for (let second = first; second < 96; second++) {
      const bytes = new Uint8Array(12);
      flip(bytes, first);
      if (second !== first) flip(bytes, second);
      hashes.add(hash(bytes));
      inputs++;
    }
  }
  assert.equal(hashes.size, inputs);
});

Deno.test("content hash: zeros at the end count", () => {
  const hashes = Array.from({ length: 40 }, (_, length) => hash(new Uint8Array(length)));
  assert.equal(new Set(hashes).size, 40);
});

Deno.test("content hash: 52 bits, all of them used", () => {
  let seen = 0n;
  for (let index = 0; index < 1000; index++) {
    const value = hash(new Uint8Array([index & 255, index >> 8]));
    assert.ok(Number.isSafeInteger(value) && value >= 0 && value < 2 ** 52);
    seen |= BigInt(value);
  }
  assert.equal(seen, (1n << 52n) - 1n);
});

Deno.test("content hash: it takes the bytes from start to end, wherever they lie", () => {
  const bytes = Uint8Array.from({ length: 31 }, (_, index) => index * 7);
  const whole = new Uint8Array([9, 9, 9, ...bytes, 9, 9]);
  const view = new DataView(whole.buffer);
  assert.equal(hashContent(SEED, whole, view, 3, 3 + bytes.length), hash(bytes));
});

Deno.test("content hash: a million counters do not collide", () => {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  const hashes = new Set<number>();
  for (let index = 0; index < 1_000_000; index++) {
    view.setUint32(4, index);
    hashes.add(hashContent(SEED, bytes, view, 0, bytes.length));
  }
  assert.equal(hashes.size, 1_000_000);
});

function hash(bytes: Uint8Array): number {
  return hashContent(SEED, bytes, new DataView(bytes.buffer), 0, bytes.length);
}

function flip(bytes: Uint8Array, bit: number): void {
  const index = bit >> 3;
  bytes[index] = (bytes[index] as number) ^ 1 << (bit & 7);
}
