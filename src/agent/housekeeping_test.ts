import assert from "node:assert/strict";
import { CoreLab, type CoreLabOptions } from "../../tests/support/core_lab.ts";
import { silentLogger } from "../observe/logger.ts";
import { Housekeeping } from "./housekeeping.ts";
import { readSequenceMap } from "./sequence_map.ts";

const HOUR_MS = 3_600_000;
const HOUR_NS = 3_600_000_000_000n;
const T = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
const IDS = `SELECT id FROM "__harmonylite__t_change_log" ORDER BY id`;

function mapOf(lab: CoreLab): string {
  return `${lab.path}-seq-map.cbor`;
}

function housekeepingOf(
  lab: CoreLab,
  replicate: boolean,
  now: () => number,
  mayMirror = (): boolean => true,
): Housekeeping {
  return new Housekeeping({
    database: lab.database,
    schema: lab.schema,
    overlay: lab.messages.overlay,
    logger: silentLogger,
    cleanupIntervalMs: 0,
    versionRetentionMs: HOUR_MS,
    sequenceMapPath: mapOf(lab),
    replicate,
    mayMirror,
    now,
  });
}

/** One round of housekeeping. */
async function cleanUp(lab: CoreLab, replicate = true): Promise<void> {
  const once = new AbortController();
  await housekeepingOf(lab, replicate, () => (once.abort(), Date.now())).run({ signal: once.signal });
}

async function open(options: CoreLabOptions = {}): Promise<CoreLab> {
  const lab = await CoreLab.open(T, options);
  lab.run("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)");
  lab.run(
    `INSERT INTO "__harmonylite___position" (stream, shard, created, sequence, time) VALUES ('lab-1', 1, '', 10, 0)`,
  );
  return lab;
}

Deno.test("changes that came back are removed up to the first that did not", async () => {
  await using lab = await open();
  lab.run(`UPDATE "__harmonylite__t_change_log" SET shard = 1, sequence = CASE id WHEN 3 THEN 11 ELSE 9 END`);
  await cleanUp(lab);
  assert.deepEqual(lab.lines(IDS), ["3", "4", "5"]);
});

Deno.test("the newest change stays, so that no id is given twice", async () => {
  await using lab = await open();
  lab.run(`UPDATE "__harmonylite__t_change_log" SET shard = 1, sequence = 9`);
  await cleanUp(lab);
  assert.deepEqual(lab.lines(IDS), ["5"]);
  lab.run("INSERT INTO t VALUES (6, 6)");
  assert.deepEqual(lab.lines(IDS), ["5", "6"]);
});

Deno.test("nothing goes that is not acknowledged; on a node that reads nothing all that is", async () => {
  await using lab = await open();
  await cleanUp(lab);
  assert.equal(lab.lines(IDS).length, 5);
  lab.run(`UPDATE "__harmonylite__t_change_log" SET shard = 1, sequence = 99 WHERE id < 3`);
  await cleanUp(lab);
  assert.equal(lab.lines(IDS).length, 5);
  await cleanUp(lab, false);
  assert.deepEqual(lab.lines(IDS), ["3", "4", "5"]);
});

Deno.test("entries of the global log whose changes are gone go too", async () => {
  await using lab = await open();
  lab.run(`DELETE FROM "__harmonylite__t_change_log" WHERE id < 3`);
  await cleanUp(lab);
  assert.deepEqual(lab.captured("t", "id"), ["insert|3", "insert|4", "insert|5"]);
  assert.deepEqual(lab.lines(`SELECT count(*) FROM "__harmonylite___global_change_log"`), ["3"]);
});

Deno.test("tombstones go when every stream's time has passed them", async () => {
  await using lab = await open();
  lab.run(
    `INSERT INTO "__harmonylite__t_row_version" VALUES (1, 1, 1, 1, 1000), (2, 1, 1, 1, 2000), (3, 1, 1, 1, 0);
     UPDATE "__harmonylite___position" SET time = ${HOUR_NS + 1001n};
     INSERT INTO "__harmonylite___position" (stream, shard, created, sequence, time) VALUES ('lab-2', 2, '', 1, ${
      HOUR_NS + 9999n
    })`,
  );
  await cleanUp(lab);
  assert.deepEqual(lab.lines(`SELECT val_id FROM "__harmonylite__t_row_version"`), ["2", "3"]);
});

Deno.test("expired tombstones go in short transactions, until none is left", async () => {
  await using lab = await open();
  lab.run(
    `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 5000)
       INSERT INTO "__harmonylite__t_row_version" SELECT i, 1, 1, 1, i FROM n;
     UPDATE "__harmonylite___position" SET time = ${HOUR_NS + 5000n}`,
  );
  const left: number[] = [];
  let running = true;
  const stop = new AbortController();
  const housekeeping = housekeepingOf(lab, true, () => (running ? HOUR_MS + 1 : stop.abort(), HOUR_MS + 1));
  const ended = housekeeping.run({ signal: stop.signal });
  while (running) {
    left.push(Number(lab.lines(`SELECT count(*) FROM "__harmonylite__t_row_version"`)[0]));
    running = left.at(-1)! > 1;
    await new Promise((resolve) => setTimeout(resolve));
  }
  await ended;
  assert.ok(new Set(left).size > 2, `all went at once: ${left}`);
});

Deno.test("the sequence map follows the positions, and is not written again when it was removed", async () => {
  await using lab = await open();
  const controller = new AbortController();
  let rounds = 0;
  const housekeeping = housekeepingOf(lab, true, () => {
    if (++rounds === 2) lab.run(`UPDATE "__harmonylite___position" SET sequence = 12`);
    if (rounds === 3) assert.deepEqual(readSequenceMap(mapOf(lab)), new Map([["lab-1", 12]]));
    if (rounds === 3) Deno.removeSync(mapOf(lab));
    if (rounds === 5) controller.abort();
    return 0;
  });
  await housekeeping.run({ signal: controller.signal });
  assert.equal(readSequenceMap(mapOf(lab)), undefined);
});

Deno.test("a removed sequence map stays removed until the node has recovered, so that a crash does not undo the wish", async () => {
  await using lab = await open();
  const controller = new AbortController();
  let rounds = 0;
  const now = (): number => {
    if (++rounds === 3) assert.equal(readSequenceMap(mapOf(lab)), undefined);
    if (rounds === 5) controller.abort();
    return 0;
  };
  await housekeepingOf(lab, true, now, () => rounds > 3).run({ signal: controller.signal });
  assert.deepEqual(readSequenceMap(mapOf(lab)), new Map([["lab-1", 10]]));
});
