import assert from "node:assert/strict";
import { CoreLab, LAB_NODE, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import { type Position, readPosition, readPositions, storePosition } from "./position.ts";
import { markPublished } from "../publish/acknowledgement.ts";
import type { ShardBatch } from "../publish/round.ts";
import { sendAllAgain } from "./resend.ts";

const T = LAB_TIME_NS;

const LOST = { stream: "lab-1", shard: 1, created: "then", sequence: 2, time: 0n };
const NEW = { stream: "lab-1", shard: 1, created: "now", sequence: 0, time: 0n };

async function sendAgain(lab: CoreLab, lost: Position = LOST): Promise<void> {
  const { database, schema, messages: { overlay } } = lab;
  const { signal } = new AbortController();
  await sendAllAgain(NEW, lost, { database, schema, overlay, node: LAB_NODE, shards: 1, signal });
  lab.position = NEW;
}

Deno.test("own changes that were not read from a lost stream become pending again, others do not", async () => {
  await using lab = await CoreLab.open(
    "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE u (id INTEGER PRIMARY KEY)",
  );
  lab.run("INSERT INTO t VALUES (1), (2)");
  const [{ batch, changes }] = await lab.read() as [ShardBatch];
  await markPublished(lab.database, lab.schema, changes, { shard: 1, sequence: 1 });
  await lab.apply(lab.messageOfPart(batch.parts[0]!));
  lab.run("INSERT INTO t VALUES (3), (4), (5); INSERT INTO u VALUES (6)");
  // 4 has gone to the stream that took the place of the lost one, 5 to another shard.
  lab.run(
    `DELETE FROM "__harmonylite___global_change_log";
     UPDATE "__harmonylite__t_change_log" SET state = 1, shard = 1, sequence = id WHERE id > 2;
     UPDATE "__harmonylite__t_change_log" SET sequence = 1 WHERE id = 4;
     UPDATE "__harmonylite__t_change_log" SET shard = 2 WHERE id = 5;
     UPDATE "__harmonylite__u_change_log" SET state = 1, shard = 1, sequence = 9`,
  );
  await sendAgain(lab);
  assert.deepEqual([lab.captured("t", "id"), lab.captured("u", "id")], [
    // The first two are rows, sent again as they were read.
    ["update|1", "update|2", "insert|3", "insert|4"],
    ["insert|6"],
  ]);
  assert.deepEqual(
    lab.lines(`SELECT id, state, sequence FROM "__harmonylite__t_change_log" WHERE id <= 5`),
    ["1|1|0", "2|1|0", "3|0|NULL", "4|0|NULL", "5|1|5"],
  );
});

Deno.test("a batch that was on its way while all was queued is not marked, also when the stream is the same by name and age", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  await lab.database.write(() => storePosition(lab.database, { ...NEW, sequence: 2 }));
  lab.run("INSERT INTO t VALUES (1)");
  const [{ changes }] = await lab.read() as [ShardBatch];
  await sendAgain(lab, { ...NEW, sequence: 2 });
  assert.equal(await markPublished(lab.database, lab.schema, changes, { shard: 1, sequence: 3 }), false);
  assert.deepEqual(lab.lines('SELECT state, sequence FROM "__harmonylite__t_change_log"'), ["0|NULL"]);
  const [again] = await lab.read() as [ShardBatch];
  assert.equal(await markPublished(lab.database, lab.schema, again.changes, { shard: 1, sequence: 3 }), true);
});

Deno.test("what one node had read of a lost stream comes to all, under the versions that it had", async () => {
  const sql =
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE uniq (id INTEGER PRIMARY KEY, u UNIQUE);
    CREATE TABLE holes (k TEXT PRIMARY KEY, a);`;
  await using ahead = await CoreLab.open(sql);
  await using behind = await CoreLab.open(sql);
  const both: LabEvent[] = [
    { table: "t", type: "insert", row: { id: 1n, a: "x" }, ts: T + 1n },
    { table: "t", type: "insert", row: { id: 2n, a: "x" }, ts: T + 2n },
    { table: "uniq", type: "insert", row: { id: 1n, u: 1n }, ts: T + 3n },
  ];
  for (const lab of [ahead, behind]) await lab.receive(...both);
  await ahead.receive(
    { table: "t", type: "update", row: { id: 1n, a: "newer" }, ts: T + 11n },
    { table: "t", type: "delete", row: { id: 2n }, ts: T + 12n },
    { table: "uniq", type: "insert", row: { id: 2n, u: 1n }, ts: T + 13n },
    { table: "holes", type: "insert", row: { k: null, rowid: 3n, a: 1n }, ts: T + 14n },
  );
  behind.runAt(T + 20n, "INSERT INTO t VALUES (9, 'own')");
  const labs = [ahead, behind];
  const before = versions(ahead);
  for (const lab of labs) await sendAgain(lab);
  const batches = [await ahead.read(), await behind.read()];
  for (const { batch } of batches.flat()) {
    for (const part of batch.parts) {
      const message = ahead.messageOfPart(part);
      for (const lab of labs) await lab.apply(message);
    }
  }
  for (const lab of labs) {
    assert.deepEqual(lab.lines("SELECT * FROM t"), ["1|'newer'", "9|'own'"]);
    // Which of the two has the value rests on the order of arrival, which is the same for all.
    assert.deepEqual(lab.lines("SELECT * FROM uniq"), ahead.lines("SELECT * FROM uniq"));
    assert.deepEqual(lab.lines("SELECT rowid, * FROM holes"), ["3|NULL|1"]);
    assert.deepEqual(versions(lab).filter((line) => !line.startsWith("9|")), before);
    assert.deepEqual(lab.lines(UNIQ_VERSIONS), ahead.lines(UNIQ_VERSIONS));
    assert.equal(lab.foreign, 0, "nobody takes it for the work of a twin");
    assert.deepEqual(lab.quarantined, []);
  }
});

Deno.test("a node that dies while it queues what a stream has lost goes on with what has a version still", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  const rows = Array.from({ length: 1_200 }, (_, at): LabEvent => (
    { table: "t", type: "insert", row: { id: BigInt(at), a: "x" }, ts: T + BigInt(at) }
  ));
  await lab.receive(...rows);
  const { write } = lab.schema;
  let transactions = 0;
  lab.schema.write = async <R>(work: () => R | Promise<R>): Promise<R> => {
    if (++transactions === 3) throw new Error("killed");
    return await write.call(lab.schema, work) as R;
  };
  await assert.rejects(sendAgain(lab), /killed/);
  const half = lab.all(`SELECT count(*) FROM "__harmonylite__t_row_version"`)[0]![0];
  assert.equal(half, 700n);
  await sendAgain(lab, readPosition(lab.database, "lab-1")!);
  assert.equal(lab.captured("t", "id").length, 1_200);
  assert.deepEqual(readPositions(lab.database), [NEW]);
});

Deno.test("another node's row that is sent again does not hold that node's own sending of it off", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)");
  const row: LabEvent = { table: "t", type: "insert", row: { id: 1n, u: 1n }, ts: T + 20n, node: 2n };
  await lab.receive(row);
  await sendAgain(lab);
  lab.position = { ...NEW, sequence: 1 };
  // From a node that has not read that far: it takes the UNIQUE value, and gives it back.
  await lab.receive({ ...row, row: { id: 2n, u: 1n }, ts: T + 10n });
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["2|1"]);
  await lab.receive(row);
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["1|1"]);
});

Deno.test("a row that was displaced without ever having a version is sent again as a delete", async () => {
  const sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES (1, 1)";
  await using ahead = await CoreLab.open(sql);
  await using behind = await CoreLab.open(sql);
  const row: LabEvent = { table: "t", type: "insert", row: { id: 2n, u: 1n }, ts: T + 10n };
  await ahead.receive(row);
  await ahead.receive({ ...row, type: "update", row: { id: 2n, u: 2n }, ts: T + 11n });
  for (const lab of [ahead, behind]) await sendAgain(lab);
  const [{ batch }] = await ahead.read() as [ShardBatch];
  const message = ahead.messageOfPart(batch.parts[0]!);
  for (const lab of [ahead, behind]) {
    await lab.apply(message);
    assert.deepEqual(lab.lines("SELECT * FROM t"), ["2|2"]);
    assert.deepEqual(lab.lines(TOMBSTONES), ["1|1"]);
  }
});

const TOMBSTONES = `SELECT val_id, deleted > 0 FROM "__harmonylite__t_row_version" WHERE val_id = 1`;
const UNIQ_VERSIONS = `SELECT * FROM "__harmonylite__uniq_row_version"`;

function versions(lab: CoreLab): string[] {
  return [
    ...lab.lines(`SELECT val_id, ts, node FROM "__harmonylite__t_row_version"`),
    ...lab.lines(`SELECT val_rowid, ts, node FROM "__harmonylite__holes_row_version_null"`),
  ];
}

Deno.test("a position is stored with all it says", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  const position = { stream: "lab-1", shard: 1, created: "then", sequence: 7, time: 2n ** 62n };
  await lab.database.write(() => storePosition(lab.database, position));
  await lab.database.write(() => storePosition(lab.database, { ...position, sequence: 8 }));
  assert.deepEqual(readPositions(lab.database), [{ ...position, sequence: 8 }]);
  assert.equal(readPosition(lab.database, "lab-2"), undefined);
});
