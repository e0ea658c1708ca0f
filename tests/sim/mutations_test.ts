import assert from "node:assert/strict";
import { mutatedSources, runMutation } from "./mutate.ts";
import { MUTATIONS } from "./mutations.ts";

/** A run or two is enough to find these; `deno task sim --mutations` tries all. */
const CHEAP = ["clock-not-raised", "no-version-check", "skip-own", "publishing-advances-position"];

Deno.test("every mutation still applies to the program as it is", async () => {
  for (const mutation of MUTATIONS) {
    for (const [file, source] of await mutatedSources(mutation)) {
      assert.notEqual(
        source,
        await Deno.readTextFile(new URL(`../../${file}`, import.meta.url)),
        mutation.name,
      );
    }
  }
});

Deno.test("a mutation whose text has gone or is not the only one fails loudly", async () => {
  const edit = { file: "src/apply/fold.ts", find: "no such text", replace: "" };
  const mutation = { name: "gone", rule: "none", within: 1, edits: [edit] };
  await assert.rejects(() => mutatedSources(mutation), /Cannot apply mutation "gone": its text is 0 times/);
  const everywhere = { ...mutation, edits: [{ ...edit, find: "const" }] };
  await assert.rejects(() => mutatedSources(everywhere), /its text is \d+ times/);
});

for (const name of CHEAP) {
  const mutation = MUTATIONS.find((each) => each.name === name)!;
  Deno.test(`the simulation notices when a rule is gone: ${mutation.rule}`, async () => {
    const { seed, violation } = await runMutation(mutation);
    assert.ok(seed !== undefined, violation);
  });
}
