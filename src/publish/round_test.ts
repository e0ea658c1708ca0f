import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import { decodeParts } from "../wire/batch.ts";
import { reenterPending } from "../capture/lost_state.ts";
import { GLOBAL_LOG } from "../schema/names.ts";
import { markPublished } from "./acknowledgement.ts";
import type { ShardBatch } from "./round.ts";

const PLAIN = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
const T = LAB_TIME_NS;

/** The keys in a batch, in order. */
function keysOf({ batch }: ShardBatch): unknown[] {
  const events = [...decodeParts(batch.parts.map(({ data }) => data))].flat();
  return events.map(({ columns, values }) => values[columns.indexOf("id")]);
}

async function mark(lab: CoreLab, { shard, changes }: ShardBatch): Promise<void> {
  await markPublished(lab.database, lab.schema, changes, { shard, sequence: 7 });
}

Deno.test("a round holds what was committed, whole transactions in their order", async () => {
  await using lab = await CoreLab.open(PLAIN);
  assert.deepEqual(await lab.read(), []);
  lab.run("BEGIN; INSERT INTO t VALUES (2, 'x'); INSERT INTO t VALUES (1, 'y'); COMMIT");
  lab.run("BEGIN; INSERT INTO t VALUES (3, 'not committed')");
  const [round] = await lab.read();
  lab.run("ROLLBACK");
  assert.deepEqual(keysOf(round!), [2n, 1n]);
});

Deno.test("the same changes become the same batch, and what comes in addition another one", async () => {
  await using lab = await CoreLab.open(PLAIN, { maxBatch: 2 });
  lab.run("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
  const [first] = await lab.read();
  const [again] = await lab.read();
  assert.equal(again!.batch.name, first!.batch.name);
  lab.run("INSERT INTO t VALUES (4, 4)");
  const [more] = await lab.read();
  assert.notEqual(more!.batch.name, first!.batch.name);
  assert.deepEqual(keysOf(more!), [1n, 2n, 3n, 4n]);
});

Deno.test("parts that are too much for memory come back as they were, in this round and the next", async () => {
  await using lab = await CoreLab.open(PLAIN, { maxMessageBytes: 200_000 });
  const ids = Array.from({ length: 60 }, (_, at) => BigInt(at + 1));
  for (const id of ids) lab.run(`INSERT INTO t VALUES (${id}, randomblob(${id === 30n ? 900_000 : 50_000}))`);
  const [first] = await lab.read();
  assert.ok(first!.batch.parts.reduce((sum, { bytes }) => sum + bytes, 0) > 3_000_000);
  assert.ok(first!.batch.parts.every(({ data, bytes }) => data.length === bytes));
  assert.deepEqual(keysOf(first!), ids);
  const [again] = await lab.read();
  assert.equal(again!.batch.name, first!.batch.name);
  assert.deepEqual(keysOf(again!), ids);
});

Deno.test("a backlog is cut where the writes paused longest near the limit", async () => {
  await using lab = await CoreLab.open(PLAIN, { maxTransactionRows: 20 });
  const insert = (from: number, to: number): string =>
    `WITH RECURSIVE n (i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i < ${to}) INSERT INTO t SELECT i, 0 FROM n`;
  lab.runAt(T, insert(1, 19));
  lab.runAt(T + 1_000_000n, insert(20, 30));
  const [first] = await lab.read();
  assert.equal(first!.batch.count, 19);
  await mark(lab, first!);
  const [second] = await lab.read();
  assert.deepEqual(keysOf(second!).length, 11);
});

Deno.test("a transaction beyond the limit is sent in several rounds, and none of it twice", async () => {
  for (const maxTransactionRows of [1, 2, 7]) {
    await using lab = await CoreLab.open(PLAIN, { maxTransactionRows });
    lab.run("INSERT INTO t VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0)");
    const sent: unknown[] = [];
    for (let rounds = await lab.read(); rounds.length > 0; rounds = await lab.read()) {
      for (const round of rounds) {
        sent.push(...keysOf(round));
        await mark(lab, round);
      }
    }
    assert.deepEqual(sent, [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n]);
  }
});

Deno.test("each shard gets its own batch, and a table with a UNIQUE index goes to one", async () => {
  await using lab = await CoreLab.open(`${PLAIN}; CREATE TABLE u (id INTEGER PRIMARY KEY, a UNIQUE)`, {
    shards: 4,
  });
  lab.run("INSERT INTO u VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)");
  assert.equal((await lab.read()).length, 1);
  lab.run("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8)");
  const rounds = await lab.read();
  assert.ok(rounds.length > 1);
  assert.equal(rounds.reduce((sum, { batch }) => sum + batch.count, 0), 13);
});

Deno.test("what is marked leaves the global log, what was captured meanwhile does not", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.run("INSERT INTO t VALUES (1, 1), (2, 2)");
  const [round] = await lab.read();
  lab.run("INSERT INTO t VALUES (3, 3)");
  await mark(lab, round!);
  assert.deepEqual(lab.captured("t", "id"), ["insert|3"]);
  assert.deepEqual(
    lab.lines(`SELECT id, state, shard, sequence FROM "__harmonylite__t_change_log"`),
    ["1|1|1|7", "2|1|1|7", "3|0|NULL|NULL"],
  );
});

Deno.test("of two shards each marks its own changes, which lie between the other's, and none of those", async () => {
  await using lab = await CoreLab.open(PLAIN, { shards: 2 });
  const count = 3_000;
  lab.run(
    `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT ${count}) INSERT INTO t SELECT i, i FROM n`,
  );
  const [first, second, ...others] = await lab.read();
  assert.deepEqual(others, []);
  await mark(lab, first!);
  const state = `SELECT id FROM "__harmonylite__t_change_log" WHERE state = 1 AND shard = ${first!.shard}`;
  const marked = keysOf(first!).map(String);
  assert.ok(marked.length > 1_000 && marked.length < 2_000);
  assert.deepEqual(lab.lines(`${state} ORDER BY id`), marked);
  assert.deepEqual(lab.captured("t", "id"), keysOf(second!).map((key) => `insert|${key}`));
  await mark(lab, second!);
  assert.deepEqual(lab.captured("t", "id"), []);
});

Deno.test("what is sent is marked although its table was renamed or dropped meanwhile", async () => {
  await using lab = await CoreLab.open(`${PLAIN}; CREATE TABLE gone (id INTEGER PRIMARY KEY)`);
  lab.run("INSERT INTO t VALUES (1, 1); INSERT INTO gone VALUES (1)");
  const [round] = await lab.read();
  lab.run(`ALTER TABLE t RENAME TO u; DROP TABLE gone; DROP TABLE "__harmonylite__gone_change_log"`);
  await lab.schema.refresh();
  await mark(lab, round!);
  assert.deepEqual(lab.lines(`SELECT state, sequence FROM "__harmonylite__u_change_log"`), ["1|7"]);
  assert.deepEqual(lab.lines(`SELECT count(*) FROM "${GLOBAL_LOG}"`), ["0"]);
});

Deno.test("what is entered anew while it is on its way leaves the global log, too", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.run("INSERT INTO t VALUES (1, 'x'), (2, 'x')");
  const [round] = await lab.read();
  lab.run("INSERT INTO t VALUES (3, 'x')");
  await lab.database.write(() => reenterPending(lab.database));
  await mark(lab, round!);
  assert.deepEqual(lab.captured("t", "id"), ["insert|3"]);
});

Deno.test("what was sent to a stream that is lost by now is not marked as sent", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.run("INSERT INTO t VALUES (1, 'x')");
  const recreate = (created: string): void =>
    lab.run(`INSERT OR REPLACE INTO "__harmonylite___position" (stream, shard, created, sequence, time)
             VALUES ('lab-1', 1, '${created}', 0, 0)`);
  recreate("then");
  const [round] = await lab.read();
  recreate("now");
  await mark(lab, round!);
  assert.deepEqual(lab.captured("t", "id"), ["insert|1"]);
  const [again] = await lab.read();
  await mark(lab, again!);
  assert.deepEqual(lab.captured("t", "id"), []);
});

Deno.test("marking goes on where it was interrupted", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.run(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) INSERT INTO t SELECT i, 0 FROM n`,
  );
  const [round] = await lab.read();
  await mark(lab, round!);
  await mark(lab, round!);
  assert.deepEqual(lab.lines(`SELECT count(*) FROM "${GLOBAL_LOG}"`), ["0"]);
  assert.deepEqual(lab.lines(`SELECT count(*) FROM "__harmonylite__t_change_log" WHERE state = 1`), [
    "10000",
  ]);
});

Deno.test("changes of an excluded table wait, and hold up nothing", async () => {
  await using lab = await CoreLab.open(`${PLAIN}; CREATE TABLE mine (id INTEGER PRIMARY KEY)`);
  lab.run("INSERT INTO mine VALUES (1)");
  lab.run(`UPDATE "${GLOBAL_LOG}" SET table_name = 'no such table'`);
  lab.run("INSERT INTO t VALUES (1, 1)");
  assert.deepEqual((await lab.read()).map(keysOf), [[1n]]);
});
