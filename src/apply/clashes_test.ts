import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import { runSql } from "../../tests/support/database.ts";
import { SchemaBehindError } from "./schema_behind.ts";
import type { SqlValue } from "../wire/event.ts";

const T = LAB_TIME_NS;
let clock = 1n;

function put(row: Record<string, SqlValue>, node = 9n): LabEvent {
  return { table: "t", type: "insert", row, ts: T + clock++, node };
}

/** The ids that are left when these rows arrive one after the other. */
async function idsAfter(schema: string, ...rows: Record<string, SqlValue>[]): Promise<string> {
  await using lab = await CoreLab.open(schema);
  for (const row of rows) await lab.receive(put(row));
  assert.deepEqual(lab.quarantined, []);
  return lab.lines("SELECT id FROM t ORDER BY id").join(" ");
}

Deno.test("a partial index whose condition rests on a column's type", async () => {
  const schema = `CREATE TABLE t (id INTEGER PRIMARY KEY, u, status TEXT);
    CREATE UNIQUE INDEX i ON t (u) WHERE status = 1`;
  assert.equal(await idsAfter(schema, { id: 1n, u: 7n, status: "1" }, { id: 2n, u: 7n, status: "1" }), "2");
  assert.equal(await idsAfter(schema, { id: 1n, u: 7n, status: "1" }, { id: 2n, u: 7n, status: "2" }), "1 2");
});

Deno.test("a partial index whose condition rests on a column's collation", async () => {
  const schema = `CREATE TABLE t (id INTEGER PRIMARY KEY, u, status TEXT COLLATE NOCASE);
    CREATE UNIQUE INDEX i ON t (u) WHERE status = 'active'`;
  assert.equal(
    await idsAfter(schema, { id: 1n, u: 7n, status: "Active" }, { id: 2n, u: 7n, status: "ACTIVE" }),
    "2",
  );
});

Deno.test("an expression that rests on types and collations", async () => {
  const schema = `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b INTEGER);
    CREATE UNIQUE INDEX i ON t (CASE WHEN a = 'on' THEN b WHEN a <> 5 THEN -b END)`;
  const on = (id: bigint, a: SqlValue, b: SqlValue): Record<string, SqlValue> => ({ id, a, b });
  assert.equal(await idsAfter(schema, on(1n, "ON", 1n), on(2n, "On", 1n), on(3n, "off", 1n)), "2 3");
  assert.equal(await idsAfter(schema, on(1n, "5", 1n), on(2n, "5", 1n)), "1 2", "NULLs never clash");
});

Deno.test("an index over generated columns, stored and virtual", async () => {
  for (const kind of ["STORED", "VIRTUAL"]) {
    const schema = `CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, g TEXT AS (lower(name)) ${kind} UNIQUE,
      h AS (length(name)) ${kind}, n INTEGER); CREATE UNIQUE INDEX i ON t (h + 1) WHERE n > 0`;
    assert.equal(await idsAfter(schema, { id: 1n, name: "Bo", n: 0n }, { id: 2n, name: "BO", n: 0n }), "2");
    assert.equal(await idsAfter(schema, { id: 1n, name: "Bo", n: 1n }, { id: 2n, name: "AX", n: 1n }), "2");
  }
});

Deno.test("a column that the event lacks counts with the value it has here", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a, b DEFAULT 'd', UNIQUE (a, b));
     INSERT INTO t VALUES (1, 1, 'x'), (2, 2, 'x'), (3, 3, 'd')`,
  );
  await lab.receive(put({ id: 2n, a: 1n }));
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["2|1|'x'", "3|3|'d'"], "as it stands here");
  await lab.receive(put({ id: 4n, a: 3n }));
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["2|1|'x'", "4|3|'d'"], "as a new row has it");
  assert.deepEqual(lab.quarantined, []);
});

Deno.test("a condition that names the table, ends in a comment, and holds texts that look like other things", async () => {
  await using lab = await CoreLab.open("CREATE TABLE other (id)");
  // Written by an application whose SQLite takes double quotes for text.
  await runSql(
    lab.path,
    `CREATE TABLE t (id INTEGER PRIMARY KEY, u, status TEXT);
     CREATE UNIQUE INDEX i ON t (u) WHERE t.status = "active" AND main . "t" . u > 1.5 AND status <> '?9' -- and so on
     ;`,
  );
  await lab.receive(put({ id: 1n, u: 7n, status: "active" }), put({ id: 2n, u: 7n, status: "passive" }));
  await lab.receive(put({ id: 3n, u: 7n, status: "active" }));
  assert.deepEqual(lab.lines("SELECT id FROM t"), ["2", "3"]);
  await runSql(lab.path, "INSERT OR REPLACE INTO t VALUES (4, 7, 'active')");
  assert.deepEqual(lab.captured("t", "id"), ["delete|3", "insert|4"]);
});

Deno.test("an event that clashes with one row on two indexes displaces it once, and with two rows both", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b UNIQUE);
     INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)`,
  );
  await lab.receive(put({ id: 4n, a: 1n, b: 1n }));
  await lab.receive(put({ id: 5n, a: 2n, b: 3n }));
  assert.deepEqual(lab.lines("SELECT id FROM t"), ["4", "5"]);
  assert.deepEqual(
    lab.lines(`SELECT json_extract(row, '$.id') FROM "__harmonylite___conflict_log" ORDER BY 1`),
    ["'1'", "'2'", "'3'"],
  );
});

Deno.test("rows with and without NULL in their key displace each other, and no more than that", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (k TEXT PRIMARY KEY, u UNIQUE, v AS (u % 10) UNIQUE)");
  const nameless = (rowid: bigint, u: bigint): LabEvent => put({ k: null, rowid, u });
  await lab.receive(nameless(1n, 1n), nameless(2n, 2n), put({ k: "x", u: 3n }), put({ k: "y", u: 4n }));
  await lab.receive(put({ k: "z", u: 2n }));
  assert.deepEqual(lab.lines("SELECT k, u FROM t ORDER BY u"), ["NULL|1", "'z'|2", "'x'|3", "'y'|4"]);
  await lab.receive(nameless(7n, 3n), nameless(8n, 14n));
  assert.deepEqual(lab.lines("SELECT k, u FROM t ORDER BY u"), ["NULL|1", "'z'|2", "NULL|3", "NULL|14"]);
  assert.deepEqual(lab.quarantined, []);
});

Deno.test("an event whose own row is kept spares a row of the other kind that has a newer own change", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (k TEXT PRIMARY KEY, u UNIQUE)");
  lab.runAt(T + 1_000_000n, "INSERT INTO t VALUES ('x', 1), (NULL, 2)");
  await lab.receive(put({ k: "x", u: 2n }));
  assert.deepEqual(lab.lines("SELECT * FROM t ORDER BY u"), ["'x'|1", "NULL|2"]);
});

Deno.test("an own change is completed by an older event but for a UNIQUE value that another row has here", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  lab.runAt(T + 1_000_000n, "INSERT INTO t VALUES (1, 1)");
  lab.run("ALTER TABLE t ADD COLUMN u; ALTER TABLE t ADD COLUMN v; CREATE UNIQUE INDEX i ON t (a, u)");
  await lab.receive(put({ id: 2n, a: 1n, u: 5n, v: null }));
  await lab.receive(put({ id: 1n, a: 2n, u: 5n, v: 6n }));
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["1|1|NULL|6", "2|1|5|NULL"]);
  assert.deepEqual(lab.quarantined, []);
  assert.deepEqual(lab.captured("t", "id", "a", "u", "v"), ["insert|1|1|NULL|NULL", "update|1|1|NULL|6"]);
});

Deno.test("a table that only the application's SQLite can check, count and compare is written all the same", async () => {
  await using lab = await CoreLab.open("CREATE TABLE other (id)");
  // "uint" and sha3 are the sqlite3 program's own.
  await runSql(
    lab.path,
    `CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE uint, u INT, g AS (u + 1) UNIQUE,
       h AS (name || "!"), CONSTRAINT "a ""name""" CHECK (length(sha3(name)) > 0), CHECK ((sha3(name)) <> ')'));`,
  );
  await lab.receive(put({ id: 1n, name: "a1", u: 7n }), put({ id: 2n, name: "a01", u: 7n }));
  assert.deepEqual(lab.lines("SELECT id, name, g, h FROM t"), ["2|'a01'|8|'a01!'"]);
  assert.deepEqual([...lab.quarantined, ...lab.unwritable], []);
});

for (
  const [what, columns, more, reason] of [
    ["index", "name TEXT COLLATE uint", "CREATE INDEX i ON t (name);", /no such collation sequence: uint/],
    ["key", "name TEXT COLLATE uint", "", /no such collation sequence: uint/],
    ["UNIQUE expression", "name TEXT", "CREATE UNIQUE INDEX i ON t (sha3(name));", /unknown function: sha3/],
    ["generated column", "name TEXT, g AS (sha3(name)) STORED", "", /unknown function: sha3/],
    [
      "trigger",
      "name TEXT",
      "CREATE TABLE local (h); CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO local VALUES (sha3(NEW.name)); END;",
      /no such function: sha3/,
    ],
  ] as const
) {
  Deno.test(`${what}: a table that needs what only the application's SQLite has is captured, and waits to be applied`, async () => {
    await using lab = await CoreLab.open("CREATE TABLE other (id INTEGER PRIMARY KEY)", {
      filter: { include: ["t", "other"], exclude: [] },
    });
    const key = what === "key" ? "PRIMARY KEY (name, id)" : "PRIMARY KEY (id)";
    await runSql(lab.path, `CREATE TABLE t (id INTEGER, ${columns}, ${key}); ${more}`);
    const other = (id: bigint): LabEvent => ({
      table: "other",
      type: "insert",
      row: { id },
      ts: T + clock++,
    });
    const messages = [
      lab.messageOf([other(1n)]),
      lab.messageOf([other(2n), put({ id: 1n, name: "a1" })]),
      lab.messageOf([other(3n)]),
    ];
    await assert.rejects(
      lab.applyAll(messages),
      (error) =>
        error instanceof SchemaBehindError && reason.test(error.message) && error.hint!.includes("Drop"),
    );
    assert.match(lab.unwritable.join(), reason, "it is said before anything arrives");
    assert.deepEqual(lab.lines("SELECT id FROM other"), ["1"], "nothing of the message that waits");
    await runSql(
      lab.path,
      "INSERT INTO t (id, name) VALUES (5, 'a5'); UPDATE t SET name = 'a6'; DELETE FROM t",
    );
    const logged = ["delete|5", ...(what === "key" ? ["delete|5"] : []), "insert|5", "update|5"];
    assert.deepEqual(lab.captured("t", "id").toSorted(), logged);
    await runSql(lab.path, "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)");
    await lab.applyAll(messages.slice(1));
    assert.deepEqual(lab.lines("SELECT id FROM other UNION ALL SELECT name FROM t"), ["1", "2", "3", "'a1'"]);
    assert.deepEqual(lab.quarantined, []);
  });
}

Deno.test("own changes of a table that cannot be written here come back, and what comes after them is applied", async () => {
  await using lab = await CoreLab.open("CREATE TABLE other (id)");
  await runSql(
    lab.path,
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT COLLATE uint); CREATE INDEX i ON t (name)",
  );
  await lab.read();
  await runSql(
    lab.path,
    `INSERT OR REPLACE INTO "__harmonylite___clock" (id, ts) VALUES (1, ${T});
     INSERT INTO t VALUES (1, 'a1'); INSERT INTO other VALUES (1)`,
  );
  for (const { batch } of await lab.read()) {
    for (const part of batch.parts) await lab.apply(lab.messageOfPart(part));
  }
  assert.deepEqual(lab.messages.counters, { applied: 2, lost: 0, quarantined: 0 });
});
