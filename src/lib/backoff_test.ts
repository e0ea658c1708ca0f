import assert from "node:assert/strict";
import { Backoff } from "./backoff.ts";

Deno.test("pauses double up to the limit and start again after a success", () => {
  const backoff = new Backoff({ firstMs: 50, maxMs: 300 });
  assert.deepEqual([1, 2, 3, 4, 5].map(() => backoff.next()), [50, 100, 200, 300, 300]);
  backoff.reset();
  assert.equal(backoff.next(), 50);
});
