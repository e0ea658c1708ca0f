import assert from "node:assert/strict";
import { editDistance, nearest } from "./nearest.ts";

Deno.test("nearest finds a word with a wrong, missing, doubled or swapped letter", () => {
  const words = ["shards", "replicas", "max_entries"];
  for (const typo of ["shard", "shardz", "shhards", "shadrs", "Shards"]) {
    assert.equal(nearest(typo, words), "shards", typo);
  }
});

Deno.test("nearest takes dashes and camel case for what they are", () => {
  assert.equal(nearest("maxEntries", ["max_entries", "max_batch"]), "max_entries");
  assert.equal(nearest("max-batch", ["max_entries", "max_batch"]), "max_batch");
});

Deno.test("nearest offers nothing when nothing is near", () => {
  assert.equal(nearest("colour", ["shards", "replicas"]), undefined);
  assert.equal(nearest("x", []), undefined);
});

Deno.test("editDistance counts a swap of neighbours as one", () => {
  assert.equal(editDistance("abc", "acb"), 1);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("kitten", "sitting"), 3);
});
