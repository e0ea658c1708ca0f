import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import { markPublished } from "../publish/acknowledgement.ts";
import { CLOCK, GLOBAL_LOG, SCHEMA_HISTORY } from "../schema/names.ts";

const SCHEMA = "CREATE TABLE a (id INTEGER PRIMARY KEY, x); CREATE TABLE b (id INTEGER PRIMARY KEY, x)";
const PENDING = `SELECT change_table_id, table_name FROM "${GLOBAL_LOG}" ORDER BY id`;
const STORED = { shard: 1, sequence: 7 };

/**
 * SQLite does not look at the schema again when a trigger cannot be compiled: a connection that has seen a table missing
 * fails until it reads any table.
 */
function lookAgain(lab: CoreLab): void {
  lab.all("SELECT count(*) FROM a");
}

Deno.test("a global log that was dropped by hand is made again of what is pending, in its order", async () => {
  await using lab = await CoreLab.open(SCHEMA);
  lab.run("INSERT INTO a VALUES (1, 1)");
  const [sent] = await lab.read();
  await markPublished(lab.database, lab.schema, sent!.changes, STORED);
  lab.run("INSERT INTO b VALUES (1, 1); INSERT INTO a VALUES (2, 2); INSERT INTO b VALUES (2, 2)");
  lab.run(`DROP TABLE "${GLOBAL_LOG}"`);
  await lab.schema.refresh();
  assert.deepEqual(lab.lines(PENDING), ["1|'b'", "2|'a'", "2|'b'"]);
  assert.equal((await lab.read())[0]!.batch.count, 3);
});

Deno.test("entries that point into a change log which was dropped by hand go with it", async () => {
  await using lab = await CoreLab.open(SCHEMA);
  lab.run("INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO b VALUES (1, 1)");
  lab.run(`DROP TABLE "__harmonylite__a_change_log"`);
  await lab.schema.refresh();
  assert.deepEqual(lab.lines(PENDING), ["1|'b'"]);
});

Deno.test("an acknowledgement from before the logs were dropped marks nothing that was captured since", async () => {
  for (const drop of [GLOBAL_LOG, "__harmonylite__a_change_log"]) {
    await using lab = await CoreLab.open(SCHEMA);
    lab.run("INSERT INTO a VALUES (1, 1), (2, 2)");
    const [sent] = await lab.read();
    lab.run(`DROP TABLE "${drop}"; DROP TABLE IF EXISTS "${GLOBAL_LOG}"`);
    await lab.schema.refresh();
    lookAgain(lab);
    lab.run("INSERT INTO a VALUES (3, 3)");
    await markPublished(lab.database, lab.schema, sent!.changes, STORED);
    const rounds = await lab.read();
    assert.ok(rounds[0]!.batch.count >= 1, drop);
    assert.deepEqual(lab.lines(`SELECT val_id FROM "__harmonylite__a_change_log" WHERE state = 1`), [], drop);
  }
});

Deno.test("a clock that was dropped by hand does not fall behind what was seen", async () => {
  await using lab = await CoreLab.open(SCHEMA);
  await lab.receive({ table: "a", type: "insert", row: { id: 1n, x: 1n }, ts: LAB_TIME_NS });
  lab.run(`DROP TABLE "${CLOCK}"`);
  await lab.schema.refresh();
  lookAgain(lab);
  lab.run("UPDATE a SET x = 2");
  assert.deepEqual(lab.lines(`SELECT ts > ${LAB_TIME_NS} FROM "__harmonylite__a_change_log"`), ["1"]);
});

Deno.test("what is pending is sent although the schema history was dropped by hand", async () => {
  await using lab = await CoreLab.open(`${SCHEMA}; CREATE TABLE c (id PRIMARY KEY, x)`);
  lab.run("ALTER TABLE a ADD COLUMN y");
  await lab.schema.refresh();
  lab.run(
    "INSERT INTO a VALUES (1, 1, 1); INSERT INTO b VALUES (1, 1); INSERT INTO c VALUES (NULL, 1), (1, 1)",
  );
  lab.run(`DROP TABLE "${SCHEMA_HISTORY}"`);
  await lab.schema.refresh();
  assert.equal((await lab.read())[0]!.batch.count, 4);
});
