import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import type { SqlValue } from "../wire/event.ts";

const FOLLOWED = { filter: { include: ["t", "other"], exclude: [] } };
const TABLES = `CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE other (id INTEGER PRIMARY KEY, a);
  CREATE TABLE local (id INTEGER PRIMARY KEY, a);`;
let clock = LAB_TIME_NS;

function put(row: Record<string, SqlValue>, table = "t"): LabEvent {
  return { table, type: "insert", row, ts: clock++ };
}

function remove(row: Record<string, SqlValue>, table = "t"): LabEvent {
  return { table, type: "delete", row, ts: clock++ };
}

async function replica(triggers: string): Promise<CoreLab> {
  return await CoreLab.open(`${TABLES} ${triggers}`, FOLLOWED);
}

Deno.test("a user's trigger does not repeat its INSERT into a followed table on a replica", async () => {
  await using lab = await replica(
    "CREATE TRIGGER x AFTER INSERT ON t BEGIN INSERT INTO other (a) VALUES (NEW.a); END",
  );
  await lab.receive(put({ id: 1n, a: 1n }));
  assert.deepEqual(lab.lines("SELECT * FROM other"), []);
});

Deno.test("a user's trigger does not repeat its UPDATE of a followed table on a replica", async () => {
  await using lab = await replica("CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE t SET a = 'twice'; END");
  await lab.receive(put({ id: 1n, a: 1n }), put({ id: 2n, a: 2n }));
  assert.deepEqual(lab.lines("SELECT a FROM t"), ["1", "2"]);
});

Deno.test("a user's trigger does not repeat its DELETE from a followed table on a replica", async () => {
  await using lab = await replica(
    `CREATE TRIGGER x AFTER DELETE ON t BEGIN DELETE FROM other; DELETE FROM t; END;
     CREATE TRIGGER y AFTER INSERT ON t BEGIN DELETE FROM t WHERE id < NEW.id; END`,
  );
  await lab.receive(put({ id: 1n, a: 1n }), put({ id: 2n, a: 2n }), put({ id: 1n, a: 1n }, "other"));
  assert.deepEqual(lab.lines("SELECT id FROM t"), ["1", "2"]);
  await lab.receive(remove({ id: 1n }));
  assert.deepEqual(lab.lines("SELECT id FROM t"), ["2"]);
  assert.deepEqual(lab.lines("SELECT id FROM other"), ["1"]);
  await lab.receive(remove({ id: 1n }, "other"));
  assert.deepEqual(lab.lines("SELECT id FROM other"), []);
});

Deno.test("a trigger that comes while the program runs is not repeated either", async () => {
  await using lab = await replica("");
  await lab.receive(put({ id: 1n, a: 1n }));
  lab.run(
    "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t WHERE id < NEW.id; INSERT INTO other VALUES (1, 1); END",
  );
  await lab.receive(put({ id: 2n, a: 2n }));
  assert.deepEqual(lab.lines("SELECT id FROM t"), ["1", "2"]);
  assert.deepEqual(lab.lines("SELECT id FROM other"), []);
});

Deno.test("a trigger is not repeated either when the first message after it came is refused", async () => {
  await using lab = await replica("");
  lab.run("CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t WHERE id < NEW.id; END");
  await lab.receive(put({ id: "no integer" }));
  await lab.receive(put({ id: 1n, a: 1n }), put({ id: 2n, a: 2n }));
  assert.equal(lab.quarantined.length, 1);
  assert.deepEqual(lab.lines("SELECT id FROM t"), ["1", "2"]);
});

Deno.test("a user's trigger works on a table that is not replicated", async () => {
  await using lab = await replica(
    `CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO local VALUES (NEW.id, NEW.a); END;
     CREATE TRIGGER u AFTER UPDATE ON t BEGIN UPDATE local SET a = NEW.a WHERE id = NEW.id; END;
     CREATE TRIGGER d AFTER DELETE ON t BEGIN DELETE FROM local WHERE id = OLD.id; END`,
  );
  await lab.receive(put({ id: 1n, a: 1n }), put({ id: 2n, a: 2n }));
  await lab.receive(put({ id: 1n, a: 3n }), remove({ id: 2n }));
  assert.deepEqual(lab.lines("SELECT * FROM local"), ["1|3"]);
});

Deno.test("a validating trigger's RAISE is left out: the row passed where it was made", async () => {
  await using lab = await replica(
    `CREATE TRIGGER v BEFORE INSERT ON t WHEN NEW.a < 0 BEGIN SELECT RAISE(ABORT, 'no'); END;
     CREATE TRIGGER w BEFORE DELETE ON t BEGIN SELECT CASE WHEN OLD.a = 7 THEN RAISE(IGNORE) END; END`,
  );
  await lab.receive(put({ id: 1n, a: -1n }), put({ id: 2n, a: 7n }));
  await lab.receive(remove({ id: 2n }));
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["1|-1"]);
  assert.deepEqual(lab.quarantined, []);
});

Deno.test("the application's own writes still obey its triggers", async () => {
  await using lab = await replica(
    "CREATE TRIGGER v BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'not allowed'); END",
  );
  await lab.receive(put({ id: 1n, a: 1n }));
  assert.throws(() => lab.run("INSERT INTO t VALUES (2, 2)"), /not allowed/);
});

Deno.test("a full-text index over the table stays consistent, also when a row is displaced", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, body TEXT);
     CREATE VIRTUAL TABLE f USING fts5 (body, content = 't', content_rowid = 'id');
     CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO f (rowid, body) VALUES (NEW.id, NEW.body); END;
     CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO f (f, rowid, body) VALUES ('delete', OLD.id, OLD.body); END;
     CREATE TRIGGER u AFTER UPDATE ON t BEGIN
       INSERT INTO f (f, rowid, body) VALUES ('delete', OLD.id, OLD.body);
       INSERT INTO f (rowid, body) VALUES (NEW.id, NEW.body);
     END;`,
  );
  await lab.receive(put({ id: 1n, u: 1n, body: "alpha" }), put({ id: 2n, u: 2n, body: "beta" }));
  await lab.receive(put({ id: 2n, u: 2n, body: "gamma" }), put({ id: 3n, u: 1n, body: "delta" }));
  lab.run("INSERT INTO f (f, rank) VALUES ('integrity-check', 1)");
  const found = (word: string): string[] => lab.lines(`SELECT rowid FROM f WHERE f MATCH '${word}'`);
  assert.deepEqual([found("alpha"), found("beta"), found("gamma"), found("delta")], [[], [], ["2"], ["3"]]);
});

Deno.test("a trigger that writes and then raises does not keep a replica from deleting a row", async () => {
  const soft = "UPDATE t SET a = 'deleted' WHERE id = OLD.id";
  const audit = "INSERT INTO local (a) VALUES (OLD.a)";
  for (const step of [soft, audit, "DELETE FROM other", "INSERT INTO other VALUES (OLD.id, 1)"]) {
    await using lab = await replica(
      `CREATE TRIGGER x BEFORE DELETE ON t BEGIN ${step}; SELECT RAISE(IGNORE); END;
       CREATE TRIGGER y BEFORE INSERT ON t BEGIN INSERT INTO local (a) VALUES (NEW.a); SELECT RAISE(ABORT, 'no'); END;`,
    );
    await lab.receive(put({ id: 1n, a: 1n }));
    await lab.receive(remove({ id: 1n }));
    assert.deepEqual(lab.lines("SELECT * FROM t"), [], step);
    assert.deepEqual(lab.quarantined, []);
    assert.deepEqual(lab.lines("SELECT a FROM local"), step === audit ? ["1", "1"] : ["1"]);
  }
});
