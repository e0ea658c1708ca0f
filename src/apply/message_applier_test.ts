import assert from "node:assert/strict";
import { CoreLab, joined, LAB_NODE, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import type { LogMessage } from "../stream/replication_log.ts";
import { BatchWriter } from "../wire/batch.ts";
import { encodeEvent, EventShape } from "../wire/codec.ts";
import type { Database } from "../sqlite/database.ts";
import type { SqlValue } from "../wire/event.ts";
import { readPositions } from "./position.ts";

const countQuarantined = (database: Database): number =>
  database.count('SELECT count(*) FROM "__harmonylite___quarantine"');

const T = LAB_TIME_NS;
const PLAIN = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
const ALL = "SELECT * FROM t ORDER BY id";

function put(ts: bigint, row: Record<string, SqlValue>): LabEvent {
  return { table: "t", type: "insert", row, ts: T + ts };
}

/** The parts of a batch with rows `first` … `last`, two events each, as messages that have not been numbered yet. */
function batchOf(
  lab: CoreLab,
  first: number,
  last: number,
  node = 9n,
  compress = false,
): (() => LogMessage)[] {
  const writer = new BatchWriter(node, { maxBatch: 2, maxMessageBytes: 10_000, compress });
  const shape = new EventShape("t", ["a", "id"], "another");
  for (let id = first; id <= last; id++) {
    writer.add(shape, "insert", BigInt(id), T + BigInt(id), ["x", BigInt(id)]);
  }
  return writer.finish().parts.map((part) => () => lab.messageOfPart(part));
}

function waiting(lab: CoreLab): string[] {
  return lab.lines(`SELECT count(*) FROM "__harmonylite___part"`);
}

Deno.test("a batch takes effect whole at its last part, in whichever order the parts come", async () => {
  for (const order of [[0, 1, 2], [2, 1, 0], [1, 2, 0]]) {
    await using lab = await CoreLab.open(PLAIN);
    const parts = batchOf(lab, 1, 6);
    for (const [at, part] of order.entries()) {
      assert.equal(lab.all(ALL).length, 0, `before part ${at + 1}`);
      await lab.apply(parts[part]!());
    }
    assert.equal(lab.all(ALL).length, 6);
    assert.deepEqual(waiting(lab), ["0"]);
  }
});

Deno.test("parts of several batches and single messages come between each other", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const [a, b] = [batchOf(lab, 1, 4, 7n), batchOf(lab, 11, 14, 8n)];
  await lab.apply(b[1]!());
  await lab.apply(a[0]!());
  await lab.receive(put(99n, { id: 99n, a: 0n }));
  await lab.apply(b[0]!());
  assert.deepEqual(lab.lines("SELECT id FROM t"), ["11", "12", "13", "14", "99"]);
  await lab.apply(a[1]!());
  assert.equal(lab.all(ALL).length, 9);
});

Deno.test("a part that comes twice counts once", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const [first, second] = batchOf(lab, 1, 4);
  await lab.apply(first!(), first!());
  assert.equal(lab.all(ALL).length, 0);
  await lab.apply(second!());
  assert.equal(lab.all(ALL).length, 4);
});

Deno.test("a batch cut differently after a crash takes effect beside the unfinished one", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.apply(batchOf(lab, 1, 4)[0]!());
  for (const part of batchOf(lab, 1, 6)) await lab.apply(part());
  assert.equal(lab.all(ALL).length, 6);
  assert.deepEqual(waiting(lab), ["1"]);
  assert.deepEqual(lab.lines(`SELECT covered_to >= last_ts FROM "__harmonylite___batch"`), ["1"]);
});

Deno.test("waiting parts and the position survive together", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.apply(batchOf(lab, 1, 4)[0]!());
  assert.equal(readPositions(lab.database)[0]!.sequence, 1);
  assert.deepEqual(waiting(lab), ["1"]);
});

Deno.test("messages at or below the position are passed over", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const [one, two] = [
    lab.messageOf([put(1n, { id: 1n, a: 1n })]),
    lab.messageOf([put(2n, { id: 2n, a: 2n })]),
  ];
  await lab.apply(one, two);
  await lab.apply(one, two);
  assert.deepEqual(lab.position.sequence, 2);
  assert.equal(lab.messages.counters.applied, 2);
});

Deno.test("bytes that are no event go into quarantine as they came, and the position moves on", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.apply(lab.message(new Uint8Array([0xff, 1, 2])));
  await lab.apply(lab.message(new Uint8Array(0), { batch: "1-1-2-2-0123456789abcdef" }));
  await lab.receive(put(1n, { id: 1n, a: 1n }));
  assert.deepEqual(lab.lines(ALL), ["1|1"]);
  assert.equal(countQuarantined(lab.database), 2);
  assert.deepEqual(lab.lines(`SELECT sequence, data FROM "__harmonylite___quarantine" LIMIT 1`), [
    "1|x'ff0102'",
  ]);
});

Deno.test("a row that the schema here refuses puts its message aside, and only that", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a NOT NULL)");
  const messages = [
    lab.messageOf([put(1n, { id: 1n, a: 1n })]),
    lab.messageOf([put(2n, { id: 2n, a: 2n }), put(3n, { id: 3n, a: null })]),
    lab.messageOf([put(4n, { id: 4n, a: 4n })]),
  ];
  await lab.applyAll(messages);
  assert.deepEqual(lab.lines(ALL), ["1|1", "4|4"]);
  assert.equal(countQuarantined(lab.database), 1);
});

Deno.test("a batch that the schema here refuses is put aside with all its parts", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER) STRICT");
  for (const part of batchOf(lab, 1, 4)) await lab.apply(part());
  assert.equal(countQuarantined(lab.database), 2);
  assert.deepEqual(waiting(lab), ["0"]);
});

Deno.test("a text in the place of an integer key goes into quarantine: it does not stop the node", async () => {
  await using lab = await CoreLab.open(`${PLAIN}; CREATE TABLE bare (a)`);
  await lab.receive(put(1n, { id: "not a number", a: 1n }));
  await lab.receive({ table: "bare", type: "insert", row: { a: 1n, rowid: "x" }, ts: T });
  await lab.receive(put(2n, { id: 2n, a: 2n }));
  assert.deepEqual(lab.lines(ALL), ["2|2"]);
  assert.equal(countQuarantined(lab.database), 2);
});

Deno.test("an own change on its way is still known after a transaction that was undone", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a NOT NULL)");
  lab.runAt(T + 50n, "INSERT INTO t VALUES (1, 'own')");
  const older = lab.messageOf([put(10n, { id: 1n, a: "older" })]);
  const [sent] = await lab.read();
  const echo = lab.messageOfPart(sent!.batch.parts[0]!);
  const refused = lab.messageOf([put(60n, { id: 2n, a: null })]);
  await lab.applyAll([older, echo, refused]);
  assert.deepEqual(lab.lines(ALL), ["1|'own'"]);
});

Deno.test("an event without a clock takes the time of its message", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const data = encodeEvent({
    node: 9n,
    id: 1n,
    type: "insert",
    table: "t",
    columns: ["a", "id"],
    values: [1n, 1n],
    schemaHash: undefined,
    ts: undefined,
  });
  await lab.apply(lab.message(joined([data]), {}, T + 7n));
  assert.deepEqual(lab.lines(`SELECT ts - ${T} FROM "__harmonylite__t_row_version"`), ["7"]);
});

Deno.test("values arrive bit for bit: every class, text with NUL, text that is not UTF-8", async () => {
  const values =
    `(1, NULL), (2, 1), (3, 1.0), (4, -9223372036854775808), (5, 9e999), (6, ''), (7, x''), (8, x'00ff'),
    (9, CAST(x'610062' AS TEXT)), (10, CAST(x'ff00fe' AS TEXT)), (11, '\uFFFD'), (12, -0.0), (13, 5e-324), (14, '01')`;
  await using origin = await CoreLab.open(PLAIN);
  await using replica = await CoreLab.open(PLAIN);
  origin.run(`INSERT INTO t VALUES ${values}`);
  for (const { batch } of await origin.read()) {
    for (const part of batch.parts) await replica.apply(replica.messageOfPart(part));
  }
  const exact = "SELECT id, typeof(a), hex(CAST(a AS BLOB)), quote(a) FROM t ORDER BY id";
  assert.equal(replica.all(exact).length, 14);
  // The replica has the lab's own node id, but none of these changes on its way.
  assert.deepEqual(replica.lines(exact), origin.lines(exact));
});

Deno.test("what a transaction that is undone put aside counts once", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a NOT NULL)");
  await lab.applyAll([
    lab.message(new Uint8Array([0xff])),
    lab.messageOf([put(1n, { id: 1n, a: 1n })]),
    lab.messageOf([put(2n, { id: 2n, a: null })]),
  ]);
  assert.equal(lab.quarantined.length, 2);
  assert.deepEqual(lab.messages.counters, { applied: 1, lost: 0, quarantined: 2 });
  assert.equal(countQuarantined(lab.database), 2);
});

Deno.test("a clock far ahead is taken over, and said once of the node that led there", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const tenYears = 10n * 365n * 86_400_000_000_000n;
  await lab.receive({ ...put(59_000_000_000n, { id: 1n, a: 1n }), node: 2n });
  assert.deepEqual(lab.clocksAhead, []);
  // A follower in the same transaction, and the leader again.
  await lab.applyAll([
    lab.messageOf([{ ...put(tenYears, { id: 1n, a: 2n }), node: 3n }]),
    lab.messageOf([{ ...put(tenYears + 1n, { id: 1n, a: 3n }), node: 4n }]),
  ]);
  await lab.receive({ ...put(tenYears + 2n, { id: 1n, a: 4n }), node: 3n });
  assert.deepEqual(lab.clocksAhead, [[3n, Number(tenYears / 1_000_000n)]]);
  assert.deepEqual(lab.lines("SELECT a FROM t"), ["4"]);
  assert.deepEqual(lab.lines('SELECT ts FROM "__harmonylite___clock"'), [String(T + tenYears + 2n)]);
});

Deno.test("an event with our node id and the largest id there is does not stop the node", async () => {
  await using lab = await CoreLab.open(PLAIN);
  for (const [at, id] of [2n ** 63n - 1n, 2n ** 63n - 100n, -(2n ** 63n)].entries()) {
    await lab.receive({ ...put(BigInt(at), { id: 1n, a: id }), node: LAB_NODE, id });
  }
  assert.equal(lab.messages.counters.applied, 3);
});

Deno.test("two batches with one name and different contents: nothing is mixed, what does not fit is in quarantine", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const [first, second] = batchOf(lab, 1, 4);
  const [otherFirst] = batchOf(lab, 11, 14);
  await lab.apply(first!());
  const forged = { ...first!(), data: otherFirst!().data };
  await lab.apply(forged);
  assert.deepEqual(lab.quarantined, ["Cannot read message: another part came under its number"]);
  await lab.apply(second!());
  assert.equal(lab.all(ALL).length, 4, "what came first counts");
  // The forged part comes first.
  const [third, fourth] = batchOf(lab, 21, 24);
  await lab.apply({ ...third!(), data: forged.data });
  await lab.apply(third!());
  await lab.apply(fourth!());
  assert.equal(lab.quarantined.length, 3);
  assert.match(lab.quarantined[2]!, /parts are not those that it is named after/);
  assert.equal(countQuarantined(lab.database), 4, "the last with the part before it");
  assert.deepEqual(lab.lines("SELECT id FROM t"), ["1", "2", "3", "4"]);
});

Deno.test("a change with our id that this database did not make is told, once; one from before it was ours is not", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const ofOurs = (ts: bigint, id: bigint): LabEvent => ({ ...put(ts, { id, a: "x" }), node: LAB_NODE });
  await lab.receive(ofOurs(5n, 1n));
  assert.equal(lab.foreign, 0, "it is nobody's yet");
  lab.run(`INSERT INTO "__harmonylite___node" (id, node, since) VALUES (1, ${LAB_NODE}, ${T + 10n})`);
  lab.runAt(T + 11n, "INSERT INTO t VALUES (7, 'own')");
  for (const { batch } of await lab.read()) {
    for (const part of batch.parts) await lab.apply(lab.messageOfPart(part));
  }
  await lab.receive(ofOurs(10n, 2n), put(20n, { id: 3n, a: "x" }));
  assert.equal(lab.foreign, 0);
  await lab.receive(ofOurs(12n, 4n), ofOurs(13n, 5n));
  await lab.receive(ofOurs(14n, 6n));
  assert.equal(lab.foreign, 1);
});

Deno.test("a part that comes again compressed, from a node started with another setting, is not called forged", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const [first] = batchOf(lab, 1, 4);
  const [again, second] = batchOf(lab, 1, 4, 9n, true);
  assert.deepEqual(again!().headers, first!().headers);
  assert.notDeepEqual(again!().data, first!().data);
  for (const part of [first, again, second]) await lab.apply(part!());
  assert.deepEqual(lab.quarantined, []);
  assert.equal(lab.all(ALL).length, 4);
});

Deno.test("a table whose column is renamed while its statements are made is not called unwritable", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.run("ALTER TABLE t ADD COLUMN c");
  const { database } = lab;
  const { write } = database;
  let writes = 0;
  // The first write installs capture for the new column; the next makes statements of what it has found.
  database.write = async (work, signal) => {
    if (++writes === 2) lab.run("ALTER TABLE t RENAME COLUMN a TO b");
    return await write.call(database, work, signal) as Awaited<ReturnType<typeof work>>;
  };
  await lab.receive(put(1n, { id: 1n, a: "x", c: 1n }));
  await lab.receive(put(2n, { id: 2n, b: "y", c: 2n }));
  assert.deepEqual(lab.unwritable, []);
  assert.deepEqual(lab.lines("SELECT id, b, c FROM t"), ["1|'x'|1", "2|'y'|2"]);
});
