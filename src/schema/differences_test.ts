import assert from "node:assert/strict";
import { differencesOf } from "./differences.ts";

function tables(of: Record<string, [columns: string, key: string]>): Parameters<typeof differencesOf>[0] {
  return new Map(
    Object.entries(of).map(([name, [columns, key]]) => {
      return [name, { columns: new Set(columns.split(" ")), key: key.split(" ") }];
    }),
  );
}

Deno.test("tables, columns and keys that only one of two nodes has are told, and nothing else", () => {
  const here = tables({ same: ["a b", "a"], gone: ["a", "a"], books: ["id isbn title", "id"] });
  const there = tables({ same: ["a b", "a"], come: ["a", "a"], books: ["email id isbn", "isbn id"] });
  assert.deepEqual(differencesOf(here, here), []);
  assert.deepEqual(differencesOf(here, there), [
    {
      table: "books",
      state: "differs",
      missingColumns: ["title"],
      extraColumns: ["email"],
      key: ["isbn", "id"],
    },
    { table: "come", state: "extra", missingColumns: [], extraColumns: [], key: undefined },
    { table: "gone", state: "missing", missingColumns: [], extraColumns: [], key: undefined },
  ]);
});
