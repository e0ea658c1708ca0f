import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import type { SqlValue } from "../wire/event.ts";
import { ClusterSchemas, type NodeSchema } from "../schema/cluster_schemas.ts";
import { SchemaBehindError } from "./schema_behind.ts";

const PLAIN = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
let clock = LAB_TIME_NS;

function put(table: string, row: Record<string, SqlValue>): LabEvent {
  return { table, type: "insert", row, ts: clock++ };
}

function tableOf(node: string, table: string, columns: string[], key: string[]): NodeSchema {
  return { node, tables: new Map([[table, { columns: new Set(columns), key }]]), past: new Map() };
}

Deno.test("a table that is not there yet is waited for, and what came before it is applied", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const messages = [lab.messageOf([put("t", { id: 1n, a: 1n })]), lab.messageOf([put("new", { id: 1n })])];
  await lab.apply(...messages);
  assert.equal(lab.position.sequence, 1);
  await assert.rejects(lab.apply(messages[1]!), SchemaBehindError);
  assert.equal(lab.position.sequence, 1);
  lab.run("CREATE TABLE new (id INTEGER PRIMARY KEY)");
  await lab.apply(messages[1]!);
  assert.deepEqual(lab.lines("SELECT * FROM new"), ["1"]);
});

Deno.test("a column that is not there yet is waited for", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const message = lab.messageOf([put("t", { id: 1n, a: 1n, b: 2n })]);
  await assert.rejects(lab.apply(message), /does not know the column "b"/);
  lab.run("ALTER TABLE t ADD COLUMN b");
  await lab.apply(message);
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["1|1|2"]);
});

Deno.test("a column that was dropped here is left out", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)");
  lab.run(
    `DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a)`,
  );
  await lab.receive(put("t", { id: 1n, a: 1n, b: 2n }));
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["1|1"]);
});

Deno.test("a table that was dropped here, or is excluded, is passed over", async () => {
  await using lab = await CoreLab.open(
    `${PLAIN}; CREATE TABLE gone (id INTEGER PRIMARY KEY); CREATE TABLE mine (id)`,
    {
      filter: { include: [], exclude: ["mine"] },
    },
  );
  lab.run("DROP TABLE gone");
  await lab.receive(put("gone", { id: 1n }), put("mine", { id: 1n }), put("t", { id: 1n, a: 1n }));
  assert.deepEqual(lab.lines("SELECT count(*) FROM mine"), ["0"]);
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["1|1"]);
});

Deno.test("what comes for a table that had another key here once is passed over, and the rest of its message is not", async () => {
  await using lab = await CoreLab.open(`${PLAIN}; CREATE TABLE u (k INTEGER PRIMARY KEY, v)`);
  lab.run("DROP TABLE u; CREATE TABLE u (number INTEGER PRIMARY KEY, v)");
  await lab.receive(put("u", { k: 1n, v: 1n }), put("u", { number: 2n, v: 2n }), put("t", { id: 1n, a: 1n }));
  assert.deepEqual(lab.lines("SELECT * FROM u"), ["2|2"]);
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["1|1"]);
  assert.deepEqual(lab.quarantined, []);
});

Deno.test("what no node of the cluster ever had goes into quarantine, whole", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const messages = [
    lab.messageOf([put("t", { id: 1n, a: 1n }), put("t", { id: 2n, a: 1n, zzz: 2n })]),
    lab.messageOf([put("nowhere", { id: 1n })]),
    lab.messageOf([put("t", { a: 7n })]),
    lab.messageOf([put("t", { id: 3n, a: 3n })]),
  ];
  await assert.rejects(lab.apply(...messages), SchemaBehindError);
  lab.cluster = new ClusterSchemas("1", [tableOf("5", "t", ["id", "a"], ["id"])], undefined);
  await lab.applyAll(messages);
  assert.match(lab.quarantined[0]!, /know the column "zzz", and no node of the cluster ever had it/);
  assert.match(lab.quarantined[1]!, /does not know that table/);
  assert.match(lab.quarantined[2]!, /does not know a change without the key column "id"/);
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["3|3"]);
  assert.equal(lab.position.sequence, 4);
});

Deno.test("what another node has is waited for, and what cannot be told is, too", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const messages = [put("t", { id: 1n, a: 1n, b: 1n }), put("new", { id: 1n }), put("t", { a: 7n })];
  const there = [tableOf("7", "t", ["a", "b"], ["a"]), tableOf("8", "new", ["id"], ["id"])];
  for (const [event, node] of [[messages[0]!, 7], [messages[1]!, 8], [messages[2]!, 7]] as const) {
    const message = lab.messageOf([event]);
    lab.cluster = new ClusterSchemas("1", there, undefined);
    await assert.rejects(lab.apply(message), new RegExp(`which node ${node} has`));
    lab.cluster = new ClusterSchemas("2", [], "the registry is away");
    await assert.rejects(lab.apply(message), /the registry is away/);
    const silent = { node: "9", tables: undefined, past: new Map() };
    lab.cluster = new ClusterSchemas("3", [silent], undefined);
    await assert.rejects(lab.apply(message), /node 9 does not say/);
  }
  assert.deepEqual(lab.quarantined, []);
});

Deno.test("what every node has given up is left out, and said", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const past = new Map([["t", new Set(["b"])], ["new_t", new Set(["id"])]]);
  lab.cluster = new ClusterSchemas("1", [{ ...tableOf("7", "t", ["id", "a"], ["id"]), past }], undefined);
  await lab.receive(put("t", { id: 1n, a: 1n, b: 1n }), put("new_t", { id: 1n }), put("new_t", { id: 2n }));
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["1|1"]);
  assert.deepEqual(lab.leftOut.map((text) => /^Table "(.*?)".*know (.*?),/.exec(text)?.slice(1)), [
    ["t", 'the column "b"'],
    ["new_t", "that table"],
  ]);
  // For what comes later it proves nothing.
  lab.cluster = undefined;
  await assert.rejects(lab.receive(put("t", { id: 2n, a: 1n, b: 1n })), SchemaBehindError);
});

Deno.test("an event for one of our own tables goes into quarantine", async () => {
  await using lab = await CoreLab.open(PLAIN);
  for (
    const table of ["__harmonylite___clock", "__HARMONYLITE__t_row_version", "__harmonylite__t_change_log"]
  ) {
    await lab.receive(put(table, { id: 1n, ts: 2n ** 62n }));
  }
  assert.equal(lab.quarantined.length, 3);
});

Deno.test("SQL in a table's or column's name is no name that we know", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await assert.rejects(lab.receive(put(`t"; DROP TABLE t; --`, { id: 1n })), SchemaBehindError);
  await assert.rejects(
    lab.apply(lab.messageOf([put("t", { id: 1n, [`a" = 1; --`]: 1n })])),
    SchemaBehindError,
  );
});
