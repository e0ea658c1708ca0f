import assert from "node:assert/strict";
import { encode } from "cbor-x";
import { CoreLab, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { readPositions } from "../apply/position.ts";
import { captureLogger } from "../observe/logger.ts";
import { ORIGINAL_GLOBAL_LOG } from "../schema/names.ts";
import { MemoryBroker } from "../stream/memory_log.ts";
import { adoptOriginalPositions } from "./original_positions.ts";

const MESSAGES = 10;
/** So many messages does a stream keep. */
const KEPT = 4;
const FIRST = MESSAGES - KEPT + 1;

/** Where a database that the Go program left behind begins to read, by what its sequence map says; undefined: as one that joins. */
async function beginning(
  map: unknown,
  { left = true, messages = MESSAGES } = {},
): Promise<number | undefined> {
  await using folder = await makeTempDir();
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  if (left) lab.run(`CREATE TABLE "${ORIGINAL_GLOBAL_LOG}" (id INTEGER PRIMARY KEY)`);
  const settings = { streamPrefix: "s", subjectPrefix: "s", shards: 1, maxEntries: KEPT, replicas: 1 };
  await using log = new MemoryBroker().connect({ ...settings, compress: false, updateExisting: false });
  await log.ensureStreams();
  for (let id = 1; id <= messages; id++) {
    const { data } = lab.messageOf([{
      table: "t",
      type: "insert",
      row: { id: BigInt(id) },
      ts: LAB_TIME_NS,
    }]);
    await log.publish(1, { id: `${id}`, headers: new Map(), data });
  }
  const sequenceMapPath = folder.file("seq-map.cbor");
  if (map instanceof Uint8Array) await Deno.writeFile(sequenceMapPath, map);
  else if (map !== undefined) await Deno.writeFile(sequenceMapPath, new Uint8Array(encode(map)));
  const { database, schema } = lab;
  const { signal } = new AbortController();
  await adoptOriginalPositions({ database, schema, log, sequenceMapPath, logger: captureLogger(), signal });
  assert.deepEqual(lab.all(`SELECT 1 FROM sqlite_schema WHERE name = '${ORIGINAL_GLOBAL_LOG}'`), []);
  const [position] = readPositions(database);
  return position && position.sequence + 1;
}

Deno.test("after the Go program a stream is read again from its first message, whatever its sequence map says", async () => {
  for (const sequence of [FIRST - 1, FIRST, MESSAGES]) {
    assert.equal(await beginning({ "s-1": sequence }), FIRST);
  }
});

Deno.test("a stream has a gap when the Go program's sequence map does not reach it, or is gone, torn or of another stream", async () => {
  for (const map of [{ "s-1": FIRST - 2 }, { "s-1": MESSAGES + 1 }, {}, undefined, new Uint8Array([0x07])]) {
    assert.equal(await beginning(map), undefined);
  }
});

Deno.test("the sequence map of a database that was never the Go program's counts for nothing", async () => {
  assert.equal(await beginning({ "s-1": MESSAGES }, { left: false }), undefined);
});
