import assert from "node:assert/strict";
import { judge } from "./judge.ts";
import type { RowState } from "./table_rows.ts";

/** A row with a content of its own for each version; `hash` undefined: it is gone. */
function row(ts: bigint | undefined, hash: number | undefined): RowState {
  const version = ts === undefined ? undefined : { ts, node: 1n, hash: Number(ts) };
  return { key: new Uint8Array(), hash, version, isAsVersioned: true, isOnItsWay: false };
}

Deno.test("a version that is lower at a later look differs, one that is higher is looked at again", () => {
  assert.equal(judge({ before: row(5n, 5), there: row(4n, 4), after: row(5n, 5) }), "differs");
  assert.equal(judge({ before: row(3n, 3), there: row(4n, 4), after: row(3n, 3) }), "differs");
  assert.equal(judge({ before: row(3n, 3), there: row(4n, 4), after: row(5n, 5) }), "open");
});

Deno.test("a row whose tombstone expires between two looks is no difference", () => {
  assert.equal(judge({ before: row(4n, 4), there: row(4n, 4.5), after: row(undefined, undefined) }), "open");
  assert.equal(
    judge({ before: row(undefined, undefined), there: row(4n, 4), after: row(undefined, undefined) }),
    "differs",
    "a row that never had a version here",
  );
});
