import assert from "node:assert/strict";
import { permissionFlags, quoteForShell } from "./flags.ts";

const NOTHING = { read: [], write: [], net: [], env: [], sys: [], run: [] };

Deno.test("what is not named is not allowed, and never asked for", () => {
  assert.deepEqual(permissionFlags(NOTHING), ["--no-prompt", "--ignore-env"]);
  assert.deepEqual(permissionFlags({ ...NOTHING, read: ["/a b", "/c"], net: ["h:1"] }), [
    "--no-prompt",
    "--ignore-env",
    "--allow-read=/a b,/c",
    "--allow-net=h:1",
  ]);
});

Deno.test("a path with a comma, which Deno would take for two, is refused", () => {
  assert.throws(
    () => permissionFlags({ ...NOTHING, write: ["/a,/"] }),
    /Cannot lock the program to "\/a,\/"/,
  );
});

Deno.test("a word for the shell stays one word", () => {
  assert.equal(quoteForShell("it's $HOME"), `'it'\\''s $HOME'`);
});
