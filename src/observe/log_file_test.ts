import assert from "node:assert/strict";
import { makeTempDir } from "../../tests/support/temp.ts";
import { LogFile } from "./log_file.ts";

Deno.test("a log file that has grown is put aside, and old ones are bounded in number", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("x.log");
  using file = await LogFile.open(path, { maxBytes: 10, keep: 2 });
  for (const word of ["first", "second", "third", "fourth"]) {
    file.write(new TextEncoder().encode(`${word}\n`));
  }
  const read = (suffix: string): string => Deno.readTextFileSync(path + suffix);
  assert.deepEqual([read(""), read(".1"), read(".2")], ["fourth\n", "third\n", "second\n"]);
  assert.throws(() => read(".3"), Deno.errors.NotFound);
});

Deno.test("a log file that a command of root's makes, or puts aside, is open to the user of its folder", async () => {
  if (Deno.uid() !== 0) return; // Nobody else can make a folder another user's.
  await using dir = await makeTempDir();
  Deno.chownSync(dir.path, 7001, 7001);
  using file = await LogFile.open(dir.file("x.log"), { maxBytes: 10 });
  assert.equal(Deno.statSync(dir.file("x.log")).uid, 7001);
  for (const word of ["first", "second"]) file.write(new TextEncoder().encode(`${word}\n`));
  assert.equal(Deno.statSync(dir.file("x.log")).uid, 7001, "the one after it as well");
});
