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
