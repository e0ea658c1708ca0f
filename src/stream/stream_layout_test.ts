import assert from "node:assert/strict";
import type { StreamSettings } from "./replication_log.ts";
import { looksOurs, shardOf, streamNameOf, subjectFilter } from "./stream_layout.ts";

const SETTINGS: StreamSettings = {
  streamPrefix: "changes",
  subjectPrefix: "log",
  shards: 2,
  maxEntries: 10,
  replicas: 1,
  compress: false,
  updateExisting: false,
};

Deno.test("a stream belongs to a cluster by its only subject", () => {
  assert.equal(shardOf(SETTINGS, ["log-1"]), 1);
  assert.equal(shardOf(SETTINGS, ["log-12"]), 12);
  for (const subjects of [undefined, [], ["log"], ["log-"], ["log-0"], ["log-01"], ["log-1x"], ["log-b-1"]]) {
    assert.equal(shardOf(SETTINGS, subjects), undefined, String(subjects));
  }
  assert.equal(shardOf(SETTINGS, ["log-1", "log-2"]), undefined);
});

Deno.test("a prefix is taken literally", () => {
  assert.equal(shardOf({ ...SETTINGS, subjectPrefix: "a.c" }, ["abc-1"]), undefined);
  assert.equal(shardOf({ ...SETTINGS, subjectPrefix: "a.c" }, ["a.c-1"]), 1);
});

Deno.test("streams are looked for among subjects of the same depth", () => {
  assert.equal(subjectFilter(SETTINGS), "*");
  assert.equal(subjectFilter({ ...SETTINGS, subjectPrefix: "a.b.c" }), "a.b.*");
});

Deno.test("a new stream is named after whether this node compresses", () => {
  assert.equal(streamNameOf(SETTINGS, 3), "changes-3");
  assert.equal(streamNameOf({ ...SETTINGS, compress: true }, 3), "changes-c-3");
  for (const name of ["changes-3", "changes-c-3"]) assert.ok(looksOurs(SETTINGS, name));
  for (const name of ["changes", "changes-x", "changes-b-3", "other-1"]) {
    assert.ok(!looksOurs(SETTINGS, name));
  }
});
