import assert from "node:assert/strict";
import { layerFindings } from "./layers.ts";

/** What is said about one import, without the names of the files. */
function verdict(from: string, to: string): string | undefined {
  return layerFindings([{ from, to }])[0]?.replace(`${from}: imports ${to}: `, "");
}

Deno.test("imports that point down, stay in a room or have a reason pass", () => {
  assert.equal(verdict("src/apply/fold.ts", "src/lib/errors.ts"), undefined);
  assert.equal(verdict("src/apply/fold.ts", "src/apply/version.ts"), undefined);
  assert.equal(verdict("src/apply/fold.ts", "src/schema/names.ts"), undefined);
  assert.equal(verdict("main.ts", "src/cli/main.ts"), undefined);
});

Deno.test("imports that point up or sideways are found", () => {
  assert.match(verdict("src/lib/sleep.ts", "src/wire/event.ts") ?? "", /^wire is above lib/);
  assert.match(verdict("src/wire/event.ts", "src/config/config.ts") ?? "", /^config is on the level of wire/);
  assert.match(verdict("src/schema/names.ts", "src/apply/fold.ts") ?? "", /^apply is on the level of schema/);
  assert.match(verdict("src/nonsense/a.ts", "src/lib/errors.ts") ?? "", /^nonsense is not in the list/);
});

Deno.test("the program imports neither tests nor scripts", () => {
  assert.match(verdict("src/apply/fold.ts", "tests/support/temp.ts") ?? "", /tests or scripts/);
  assert.match(verdict("src/apply/fold.ts", "src/apply/fold_test.ts") ?? "", /does not import tests/);
  assert.equal(verdict("src/apply/fold_test.ts", "tests/support/temp.ts"), undefined);
});

Deno.test("a package is imported by its own room only", () => {
  assert.equal(verdict("src/sqlite/database.ts", "node:sqlite"), undefined);
  assert.equal(verdict("src/apply/fold.ts", "node:sqlite"), "only src/sqlite may");
  assert.equal(verdict("src/apply/fold.ts", "fast-check"), "it is for tests");
  assert.match(verdict("src/apply/fold.ts", "left-pad") ?? "", /not in the list/);
  assert.equal(verdict("src/apply/fold.ts", "node:path"), undefined);
});
