import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import { decodeParts } from "../wire/batch.ts";

const NOTES = "CREATE TABLE notes (k TEXT PRIMARY KEY, v)";
const PAIRS = "CREATE TABLE pairs (a, b, v, PRIMARY KEY (a, b))";

/** What would be sent, each event as its type and its row. */
async function sent(lab: CoreLab): Promise<string[]> {
  const [round] = await lab.read();
  const events = [...decodeParts(round!.batch.parts.map(({ data }) => data))].flat();
  return events.map(({ type, columns, values }) =>
    `${type} ${columns.map((column, at) => `${column}=${values[at]}`).join(" ")}`
  );
}

Deno.test("rows with NULL in their key are sent with their rowid, others without", async () => {
  await using lab = await CoreLab.open(`${NOTES}; ${PAIRS}`);
  lab.run(`INSERT INTO notes VALUES (NULL, 1), ('x', 2), (NULL, 3); UPDATE notes SET v = 4 WHERE v = 3;
    DELETE FROM notes WHERE v = 1; UPDATE notes SET k = 'y' WHERE k IS NULL; UPDATE notes SET k = NULL WHERE k = 'x';
    INSERT INTO pairs VALUES (1, NULL, 1), (1, 1, 1); UPDATE pairs SET b = NULL`);
  assert.deepEqual(await sent(lab), [
    "insert k=null rowid=1 v=1",
    "insert k=x v=2",
    "insert k=null rowid=3 v=3",
    "update k=null rowid=3 v=4",
    "delete rowid=1",
    ...["delete rowid=3", "update k=y v=4"].sort(),
    ...["delete k=x", "update k=null rowid=2 v=2"].sort(),
    "insert a=1 b=null rowid=1 v=1",
    "insert a=1 b=1 v=1",
    "update a=1 b=null rowid=1 v=1",
    ...["delete a=1 b=1", "update a=1 b=null rowid=2 v=1"].sort(),
  ]);
});

Deno.test("of two rows with NULL for their key each is changed and deleted by itself", async () => {
  await using lab = await CoreLab.open(NOTES);
  await lab.receive(
    { table: "notes", type: "insert", row: { k: null, rowid: 1n, v: 1n }, ts: 1n },
    { table: "notes", type: "insert", row: { k: null, rowid: 2n, v: 2n }, ts: 2n },
    { table: "notes", type: "update", row: { k: null, rowid: 1n, v: 3n }, ts: 3n },
    { table: "notes", type: "delete", row: { rowid: 2n }, ts: 4n },
    { table: "notes", type: "update", row: { k: null, rowid: 1n, v: 0n }, ts: 2n },
  );
  assert.deepEqual(lab.lines("SELECT rowid, k, v FROM notes"), ["1|NULL|3"]);
});

Deno.test("a row with a key makes room for one without that comes under its rowid", async () => {
  await using lab = await CoreLab.open(NOTES);
  lab.run("INSERT INTO notes VALUES ('x', 1)");
  await lab.receive(
    { table: "notes", type: "insert", row: { k: null, rowid: 1n, v: 2n }, ts: 1n },
    { table: "notes", type: "insert", row: { k: "y", v: 3n }, ts: 2n },
    { table: "notes", type: "delete", row: { rowid: 2n }, ts: 3n },
  );
  assert.deepEqual(lab.lines("SELECT k, v FROM notes ORDER BY v"), ["'x'|1", "NULL|2", "'y'|3"]);
  assert.equal(lab.captured("notes", "k").length, 1, "what is moved is not captured");
});

Deno.test("an older event does not show over an own newer row with NULL for its key", async () => {
  await using lab = await CoreLab.open(NOTES);
  lab.runAt(LAB_TIME_NS, "INSERT INTO notes VALUES (NULL, 'own')");
  await lab.receive({ table: "notes", type: "insert", row: { k: null, rowid: 1n, v: "old" }, ts: 5n });
  assert.deepEqual(lab.lines("SELECT k, v FROM notes"), ["NULL|'own'"]);
});

Deno.test("an event with NULL in its key and no rowid beside it is put aside", async () => {
  await using lab = await CoreLab.open(`${NOTES}; CREATE TABLE t (id INTEGER PRIMARY KEY)`);
  await lab.receive({ table: "notes", type: "insert", row: { k: null, v: 1n }, ts: 1n });
  await lab.receive({ table: "t", type: "insert", row: { id: null }, ts: 1n });
  assert.match(lab.quarantined.join(), /"notes".* its key is NULL.*"t".* its key is NULL/s);
  assert.deepEqual(lab.lines("SELECT * FROM notes, t"), []);
});
