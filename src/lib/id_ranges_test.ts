import assert from "node:assert/strict";
import { IdRanges } from "./id_ranges.ts";

Deno.test("ids that follow each other are one range", () => {
  assert.deepEqual([...IdRanges.of([1n, 2n, 3n, 7n, 9n, 10n]).pieces()], [[1n, 3n], [7n, 7n], [9n, 10n]]);
});

Deno.test("ids out of order are ranges of their own", () => {
  assert.deepEqual([...IdRanges.of([5n, 4n, 6n]).pieces()], [[5n, 5n], [4n, 4n], [6n, 6n]]);
});

Deno.test("a long range comes in pieces", () => {
  assert.deepEqual([...IdRanges.of([1n, 2n, 3n, 4n, 5n]).pieces(2)], [[1n, 2n], [3n, 4n], [5n, 5n]]);
});

Deno.test("ranges come in groups of so many ids, a long one in pieces", () => {
  const ids = IdRanges.of([1n, 3n, 5n, 6n, 7n, 8n, 10n]);
  assert.deepEqual([...ids.groups(3)], [[[1n, 1n], [3n, 3n]], [[5n, 7n]], [[8n, 8n], [10n, 10n]]]);
  assert.deepEqual([...new IdRanges().groups(3)], []);
});
