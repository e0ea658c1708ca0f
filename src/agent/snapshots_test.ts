import assert from "node:assert/strict";
import { hasMovedOn, snapshotThreshold } from "./snapshots.ts";

const AT = { stream: "changes-1", shard: 1, created: "then", time: 0n };

Deno.test("a snapshot is due when a stream has moved on by the smaller of its share and half of what it keeps", () => {
  const threshold = (maxEntries: number, shards: number): number =>
    snapshotThreshold(settings(maxEntries, shards));
  assert.deepEqual([threshold(1024, 1), threshold(1024, 2), threshold(1024, 8), threshold(1, 4)], [
    512,
    512,
    128,
    1,
  ]);
  const before = [{ ...AT, sequence: 100 }];
  assert.ok(!hasMovedOn([{ ...AT, sequence: 599 }], before, 500));
  assert.ok(hasMovedOn([{ ...AT, sequence: 600 }], before, 500));
  assert.ok(
    !hasMovedOn(
      [{ ...AT, sequence: 100 }, { ...AT, stream: "changes-2", shard: 2, sequence: 499 }],
      before,
      500,
    ),
  );
  assert.ok(
    hasMovedOn(
      [{ ...AT, sequence: 100 }, { ...AT, stream: "changes-2", shard: 2, sequence: 500 }],
      before,
      500,
    ),
  );
  assert.ok(
    hasMovedOn([{ ...AT, created: "later", sequence: 500 }], before, 500),
    "another stream of that name",
  );
  assert.ok(hasMovedOn([{ ...AT, sequence: 500 }], [], 500), "a snapshot without positions");
});

function settings(maxEntries: number, shards: number): Parameters<typeof snapshotThreshold>[0] {
  return { maxEntries, shards } as Parameters<typeof snapshotThreshold>[0];
}
