import assert from "node:assert/strict";
import { sameBytes } from "./same_bytes.ts";

Deno.test("bytes are the same only when all of them are, few or many, also in views", () => {
  for (const length of [0, 1, 64, 65, 100_000]) {
    const whole = new Uint8Array(length + 3).fill(7);
    const view = whole.subarray(3);
    assert.equal(sameBytes(view, new Uint8Array(length).fill(7)), true);
    assert.equal(sameBytes(view, new Uint8Array(length + 1).fill(7)), false);
    if (length > 0) assert.equal(sameBytes(view, new Uint8Array(length).fill(7).fill(8, length - 1)), false);
  }
});
