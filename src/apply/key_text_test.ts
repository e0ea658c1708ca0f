import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { SqlValue } from "../wire/event.ts";
import { keyText } from "./key_text.ts";

const VALUES: readonly SqlValue[] = [
  1n,
  1,
  1.5,
  "1",
  "1 ",
  "a",
  "A",
  "a ",
  "é",
  "É",
  "",
  new Uint8Array([0x61]),
  new Uint8Array(),
  2n ** 53n + 1n,
  2 ** 53,
  -0,
  0n,
  1e300,
  Infinity,
];

Deno.test("key texts are equal exactly where SQLite takes the keys for equal", () => {
  using db = new DatabaseSync(":memory:");
  for (const collation of ["BINARY", "NOCASE", "RTRIM"]) {
    const same = db.prepare(`SELECT ? IS ? COLLATE ${collation} AS same`);
    for (const a of VALUES) {
      for (const b of VALUES) {
        const key = [{ name: "k", collation }];
        const expected = same.get(a as string, b as string)!["same"] === 1;
        assert.equal(
          keyText(key, [a]) === keyText(key, [b]),
          expected,
          `${collation}: ${String(a)}, ${String(b)}`,
        );
      }
    }
  }
});

Deno.test("the columns of a composite key do not run into each other", () => {
  const key = [{ name: "a", collation: "BINARY" }, { name: "b", collation: "NOCASE" }];
  assert.notEqual(keyText(key, ["x,y", "z"]), keyText(key, ["x", "y,z"]));
  assert.notEqual(keyText(key, ['x","ty', ""]), keyText(key, ["x", "y"]));
  assert.equal(keyText(key, ["x", "Y"]), keyText(key, ["x", "y"]));
});
