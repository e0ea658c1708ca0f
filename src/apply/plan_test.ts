import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import type { SqlValue } from "../wire/event.ts";
import { SchemaBehindError } from "./schema_behind.ts";

const PLAIN = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
let clock = LAB_TIME_NS;

function put(table: string, row: Record<string, SqlValue>, schemaHash = "another"): LabEvent {
  return { table, type: "insert", row, ts: clock++, schemaHash };
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

Deno.test("what a node of our own schema cannot mean goes into quarantine, whole", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const ours = lab.schema.current.hash;
  await lab.receive(put("t", { id: 1n, a: 1n }, ours), put("t", { id: 2n, a: 1n, zzz: 2n }, ours));
  assert.match(lab.quarantined.join(), /does not know the column "zzz"/);
  assert.deepEqual(lab.lines("SELECT * FROM t"), []);
  assert.equal(lab.position.sequence, 1);
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
