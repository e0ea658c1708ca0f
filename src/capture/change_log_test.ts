import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import { decodeParts } from "../wire/batch.ts";
import { schemaVersion } from "../schema/followed_tables.ts";
import { listOwn } from "../schema/own_tables.ts";
import { dropTriggers, installCapture } from "./change_log.ts";

const EVERYTHING = { include: [], exclude: [] };
const T = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";

Deno.test("installing twice writes nothing the second time", async () => {
  await using lab = await CoreLab.open(`${T}; CREATE TABLE u (k TEXT PRIMARY KEY, e UNIQUE) WITHOUT ROWID`);
  const before = schemaVersion(lab.database);
  const { changed } = await installCapture(lab.database, EVERYTHING);
  assert.deepEqual(changed, []);
  assert.equal(schemaVersion(lab.database), before);
});

Deno.test("a new column is captured after the next look, and what was captured before stays", async () => {
  await using lab = await CoreLab.open(T);
  lab.run("INSERT INTO t VALUES (1, 1); ALTER TABLE t ADD COLUMN b DEFAULT 5; UPDATE t SET a = 2");
  assert.deepEqual(lab.captured("t", "id", "a"), ["insert|1|1", "update|1|2"]);
  await lab.schema.refresh();
  lab.run("UPDATE t SET b = 6");
  assert.equal(lab.captured("t", "a", "b").at(-1), "update|2|6");
  assert.equal((await lab.read())[0]!.batch.count, 3);
});

Deno.test("a renamed column is captured under its new name", async () => {
  await using lab = await CoreLab.open(T);
  lab.run("INSERT INTO t VALUES (1, 1); ALTER TABLE t RENAME COLUMN a TO z; UPDATE t SET z = 2");
  await lab.schema.refresh();
  lab.run("UPDATE t SET z = 3");
  assert.equal(lab.captured("t", "id", "z").at(-1), "update|1|3");
  assert.equal((await lab.read())[0]!.batch.count, 3);
});

Deno.test("a column can be dropped at any time, and what is written before the next look is captured without it", async () => {
  await using lab = await CoreLab.open(`CREATE TABLE t (id INTEGER PRIMARY KEY, a, "b ""c", d UNIQUE);
    CREATE TABLE bare (a, b); CREATE TABLE compact (k TEXT PRIMARY KEY, a, b) WITHOUT ROWID`);
  lab.run(`INSERT INTO t VALUES (1, 1, 1, 1), (2, 2, NULL, 2); INSERT INTO bare VALUES (1, 1), (2, 2);
    INSERT INTO compact VALUES ('x', 1, 1), ('y', 2, 2);
    ALTER TABLE t DROP COLUMN "b ""c"; ALTER TABLE bare DROP COLUMN b; ALTER TABLE compact DROP COLUMN a;
    UPDATE t SET a = 3; INSERT INTO t VALUES (3, 3, 3); DELETE FROM t WHERE id = 2; UPDATE OR REPLACE t SET d = 1 WHERE id = 3;
    UPDATE bare SET a = 3; DELETE FROM bare WHERE a = 3 AND rowid = 1; REPLACE INTO compact VALUES ('x', 5)`);
  const events = [...decodeParts((await lab.read())[0]!.batch.parts.map(({ data }) => data))].flat();
  const columns = (table: string): string[] =>
    events.filter((event) => event.table === table).map((event) => `${event.type} ${event.columns}`);
  const [before, after] = [`a,b "c,d,id`, "a,d,id"];
  // The second row, too, held NULL there: which of the two it was cannot be told, nor does it matter.
  assert.deepEqual(columns("t"), [
    `insert ${before}`,
    `insert ${after}`,
    ...[`update ${after}`, `update ${after}`, `insert ${after}`, "delete id", "delete id", `update ${after}`],
  ]);
  assert.deepEqual(columns("bare").slice(2), ["update a,rowid", "update a,rowid", "delete rowid"]);
  assert.deepEqual(columns("compact").slice(2), ["insert b,k"]);
});

Deno.test("a column renamed here is still known by its old name, also when it is renamed back", async () => {
  await using lab = await CoreLab.open(T);
  const receive = async (column: string, value: bigint): Promise<void> => {
    await lab.schema.refresh();
    await lab.receive({ table: "t", type: "insert", row: { id: 1n, [column]: value }, ts: value });
  };
  await receive("a", 1n);
  lab.run(`ALTER TABLE t RENAME COLUMN a TO "type, created_at"; UPDATE t SET "type, created_at" = 2`);
  await receive("a", LAB_TIME_NS);
  assert.deepEqual(lab.lines(`SELECT "type, created_at" FROM t`), [String(LAB_TIME_NS)]);
  lab.run(`ALTER TABLE t RENAME COLUMN "type, created_at" TO b; ALTER TABLE t RENAME COLUMN b TO a`);
  await receive("type, created_at", LAB_TIME_NS + 1n);
  assert.deepEqual(lab.lines("SELECT a FROM t"), [String(LAB_TIME_NS + 1n)]);
  assert.deepEqual(lab.quarantined, []);
});

Deno.test("a renamed key column takes the row versions with it", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE)");
  await lab.receive({ table: "t", type: "insert", row: { id: 1n, u: 1n }, ts: 10n });
  lab.run("ALTER TABLE t RENAME COLUMN id TO number");
  await lab.schema.refresh();
  lab.run("INSERT OR REPLACE INTO t VALUES (2, 1)");
  assert.deepEqual(lab.captured("t", "number"), ["delete|1", "insert|2"]);
  assert.deepEqual(lab.lines(`SELECT val_number FROM "__harmonylite__t_row_version"`), ["1"]);
});

Deno.test("what is written before a new table's triggers are there is captured, but not what was there at the first start", async () => {
  await using lab = await CoreLab.open(`${T}; INSERT INTO t VALUES (1, 1)`);
  lab.run(`BEGIN; CREATE TABLE u (k TEXT PRIMARY KEY, v); INSERT INTO u VALUES ('a', 1), (NULL, 2), ('b', 3);
    CREATE TABLE bare (v); INSERT INTO bare VALUES ('x'), ('y'); CREATE TABLE none (id INTEGER PRIMARY KEY); COMMIT`);
  await lab.schema.refresh();
  lab.run("UPDATE u SET v = 4 WHERE k = 'b'");
  assert.deepEqual(lab.captured("t", "id"), []);
  assert.deepEqual(lab.captured("u", "k", "v", "rowid").map((line) => line.slice(0, 15)), [
    "insert|a|1|1",
    "insert|NULL|2|2",
    "insert|b|3|3",
    "update|b|4|3",
  ]);
  assert.deepEqual(lab.captured("bare", "rowid", "v"), ["insert|1|x", "insert|2|y"]);
  const clocks = lab.lines(
    `SELECT ts FROM "__harmonylite__u_change_log" UNION ALL SELECT ts FROM "__harmonylite__bare_change_log"`,
  );
  assert.equal(new Set(clocks).size, 6, "each has a clock of its own");
  await lab.schema.refresh();
  assert.equal((await lab.read())[0]!.batch.count, 6);
});

Deno.test("a table that is dropped and made again with another key can be written and is captured", async () => {
  for (const key of ["PRIMARY KEY (b, a)", "PRIMARY KEY (b)", "UNIQUE (a)"]) {
    await using lab = await CoreLab.open("CREATE TABLE t (a, b, c UNIQUE, PRIMARY KEY (a, b))");
    lab.run(`INSERT INTO t VALUES (1, 2, 3); DROP TABLE t; CREATE TABLE t (a, b, c UNIQUE, ${key})`);
    await lab.schema.refresh();
    lab.run("INSERT INTO t VALUES (3, 4, 5)");
    assert.equal(lab.captured("t", "a", "b").at(-1), "insert|3|4", key);
    const rowid = key.startsWith("UNIQUE") ? { rowid: 9n } : {};
    await lab.receive({ table: "t", type: "insert", row: { a: 7n, b: 8n, c: 9n, ...rowid }, ts: 10n });
    assert.deepEqual(lab.lines("SELECT * FROM t"), ["3|4|5", "7|8|9"]);
  }
});

Deno.test("a table or a column that differs from a former one in case only", async () => {
  await using lab = await CoreLab.open(T);
  lab.run("ALTER TABLE t RENAME COLUMN a TO A");
  await lab.schema.refresh();
  lab.run("INSERT INTO t VALUES (1, 2)");
  assert.deepEqual(lab.captured("t", "id", "A"), ["insert|1|2"]);
  lab.run("DROP TABLE t; CREATE TABLE T (id INTEGER PRIMARY KEY, a)");
  await lab.schema.refresh();
  lab.run("INSERT INTO T VALUES (1, 3)");
  assert.deepEqual(lab.captured("T", "id", "a"), ["insert|1|3"]);
});

Deno.test("while our triggers are there a table can be rebuilt, and after DROP TABLE any other be altered", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b); CREATE TABLE u (k, e UNIQUE, PRIMARY KEY (k, e));
     INSERT INTO t VALUES (1, 1, 1)`,
  );
  lab.run(
    `BEGIN; CREATE TABLE new_t (id INTEGER PRIMARY KEY, a UNIQUE, c DEFAULT 7); INSERT INTO new_t (id, a) SELECT id, a FROM t;
     DROP TABLE t; ALTER TABLE new_t RENAME TO t; COMMIT;
     DROP TABLE u; CREATE TABLE v (a, b, c); ALTER TABLE v RENAME COLUMN a TO z; ALTER TABLE v DROP COLUMN b`,
  );
  await lab.schema.refresh();
  lab.run("INSERT OR REPLACE INTO t VALUES (2, 1, 8)");
  assert.deepEqual(lab.captured("t", "id", "c"), ["delete|1|NULL", "insert|2|8"]);
});

Deno.test("a renamed table takes its changes and row versions along, and is known under its old name too", async () => {
  for (const columns of ["id INTEGER PRIMARY KEY, a UNIQUE", "id INT PRIMARY KEY, a"]) {
    await using lab = await CoreLab.open(`CREATE TABLE t (${columns})`);
    await lab.receive({ table: "t", type: "insert", row: { id: 1n, a: 1n }, ts: LAB_TIME_NS });
    lab.run("INSERT INTO t VALUES (2, 2); ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (3, 3)");
    lab.run("CREATE VIEW broken AS SELECT * FROM gone");
    await lab.schema.refresh();
    lab.run("INSERT INTO u VALUES (4, 4); UPDATE u SET a = 20 WHERE id = 2");
    assert.deepEqual(lab.captured("u", "id", "a"), ["insert|2|2", "insert|3|3", "insert|4|4", "update|2|20"]);
    const [round] = await lab.read();
    const events = [...decodeParts(round!.batch.parts.map(({ data }) => data))].flat();
    assert.deepEqual(events.map(({ table }) => table), ["u", "u", "u", "u"]);
    await lab.receive({ table: "t", type: "update", row: { id: 1n, a: 10n }, ts: LAB_TIME_NS + 1n });
    await lab.receive({ table: "t", type: "update", row: { id: 1n, a: 99n }, ts: LAB_TIME_NS - 1n });
    assert.deepEqual(lab.lines("SELECT id, a FROM u ORDER BY id"), ["1|10", "2|20", "3|3", "4|4"]);
    assert.deepEqual(
      listOwn(lab.database, "table").filter((name) => name.startsWith("__harmonylite__t_")),
      [],
    );

    lab.run("CREATE TABLE t (x PRIMARY KEY)");
    await lab.schema.refresh();
    await lab.receive({ table: "t", type: "insert", row: { x: 5n }, ts: LAB_TIME_NS + 2n });
    assert.deepEqual(lab.lines("SELECT x FROM t"), ["5"], "the new table has the name now");

    lab.run("DROP TABLE u");
    await lab.schema.refresh();
    await lab.receive({ table: "u", type: "insert", row: { id: 6n, a: 6n }, ts: LAB_TIME_NS + 3n });
    assert.deepEqual(lab.quarantined, []);
  }
});

Deno.test("a table and its column may be renamed at once, and back again", async () => {
  await using lab = await CoreLab.open(T);
  lab.run("INSERT INTO t VALUES (1, 1); ALTER TABLE t RENAME COLUMN a TO b; ALTER TABLE t RENAME TO u");
  await lab.schema.refresh();
  await lab.receive({ table: "t", type: "insert", row: { id: 2n, a: 2n }, ts: LAB_TIME_NS });
  lab.run("ALTER TABLE u RENAME TO t; ALTER TABLE t RENAME COLUMN b TO c");
  await lab.schema.refresh();
  await lab.receive({ table: "u", type: "insert", row: { id: 3n, b: 3n }, ts: LAB_TIME_NS });
  await lab.receive({ table: "t", type: "insert", row: { id: 4n, a: 4n }, ts: LAB_TIME_NS });
  assert.deepEqual(lab.lines("SELECT id, c FROM t"), ["1|1", "2|2", "3|3", "4|4"]);
  assert.equal((await lab.read())[0]!.batch.count, 1);
});

Deno.test("a table that takes another's name with its own triggers on is captured as the other", async () => {
  await using lab = await CoreLab.open(T);
  lab.run("INSERT INTO t VALUES (1, 1); CREATE TABLE new_t (id INTEGER PRIMARY KEY, a, b DEFAULT 7)");
  await lab.schema.refresh();
  lab.run("INSERT INTO new_t (id, a) SELECT * FROM t; DROP TABLE t; ALTER TABLE new_t RENAME TO t");
  await lab.schema.refresh();
  lab.run("UPDATE t SET a = 2");
  assert.deepEqual(lab.captured("t", "id", "a", "b"), ["insert|1|1|NULL", "update|1|2|7"]);
});

Deno.test("changes of a dropped table are still sent", async () => {
  await using lab = await CoreLab.open(T);
  lab.run("INSERT INTO t VALUES (1, 1); DROP TABLE t");
  assert.equal((await lab.read())[0]!.batch.count, 1);
});

Deno.test("what is written after our tables were emptied by hand is sent", async () => {
  await using lab = await CoreLab.open(`${T}; CREATE TABLE k (k TEXT PRIMARY KEY, a)`);
  lab.run(listOwn(lab.database, "table").map((name) => `DELETE FROM "${name}";`).join(" "));
  lab.run("INSERT INTO t VALUES (1, 1); INSERT INTO k VALUES ('x', 2), (NULL, 3)");
  await installCapture(lab.database, EVERYTHING);
  await lab.schema.refresh();
  const events = [...decodeParts((await lab.read())[0]!.batch.parts.map(({ data }) => data))].flat();
  assert.deepEqual(events.map(({ columns }) => columns.join()), ["a,id", "a,k", "a,k,rowid"]);
});

Deno.test("a table that is no longer followed is not captured", async () => {
  await using lab = await CoreLab.open(T);
  await installCapture(lab.database, { include: [], exclude: ["t"] });
  lab.run("INSERT INTO t VALUES (1, 1)");
  assert.deepEqual(lab.captured("t", "id"), []);
});

Deno.test("our triggers can be removed, and come back with what is followed", async () => {
  await using lab = await CoreLab.open(T);
  await lab.database.write(() => dropTriggers(lab.database));
  assert.deepEqual(listOwn(lab.database, "trigger"), []);
  const { changed } = await installCapture(lab.database, EVERYTHING);
  assert.deepEqual(changed, ["t"]);
});

Deno.test("views, virtual tables and their shadows are left alone", async () => {
  await using lab = await CoreLab.open(
    `${T}; CREATE VIEW v AS SELECT * FROM t; CREATE VIRTUAL TABLE f USING fts5 (a)`,
  );
  assert.deepEqual([...lab.schema.current.tables.keys()], ["t"]);
});

Deno.test("a row that a user's trigger keeps with RAISE(IGNORE) is captured, whenever the trigger was made", async () => {
  await using lab = await CoreLab.open(T);
  lab.run("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT RAISE(IGNORE); END");
  await lab.schema.refresh();
  lab.run("INSERT INTO t VALUES (1, 1)");
  assert.deepEqual(lab.captured("t", "id"), ["insert|1"]);
  assert.deepEqual((await installCapture(lab.database, EVERYTHING)).changed, [], "once is enough");
});
