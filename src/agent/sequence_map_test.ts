import assert from "node:assert/strict";
import { encode } from "cbor-x";
import { makeTempDir } from "../../tests/support/temp.ts";
import { hasSequenceMap, readSequenceMap, writeSequenceMap } from "./sequence_map.ts";

Deno.test("a sequence map is read as it was written", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("seq-map.cbor");
  assert.equal(hasSequenceMap(path), false);
  assert.equal(readSequenceMap(path), undefined);
  const map = new Map([["harmonylite-changes-c-1", 5_000_000_000], ["harmonylite-changes-2", 0]]);
  writeSequenceMap(path, map);
  writeSequenceMap(path, map);
  assert.equal(hasSequenceMap(path), true);
  assert.deepEqual(readSequenceMap(path), map);
  assert.deepEqual([...Deno.readDirSync(folder.path)].map(({ name }) => name), ["seq-map.cbor"]);
});

Deno.test("a map of the Go original is read", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("seq-map.cbor");
  await Deno.writeFile(path, new Uint8Array(encode({ "changes-1": 7 })));
  assert.deepEqual(readSequenceMap(path), new Map([["changes-1", 7]]));
});

Deno.test("a torn sequence map, or another file, is an error that names it", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("seq-map.cbor");
  writeSequenceMap(path, new Map([["harmonylite-changes-1", 123_456]]));
  const whole = await Deno.readFile(path);
  for (const bytes of [whole.slice(0, -2), new Uint8Array(), new Uint8Array([0x07])]) {
    await Deno.writeFile(path, bytes);
    assert.throws(() => readSequenceMap(path), /Cannot read the sequence map ".*seq-map.cbor"/);
  }
});
