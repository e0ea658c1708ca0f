import assert from "node:assert/strict";
import { CoreLab, LAB_NODE, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import { dropTriggers } from "../capture/change_log.ts";
import { DatabaseError } from "../lib/errors.ts";
import { Database } from "../sqlite/database.ts";
import { RawText, type SqlValue } from "../wire/event.ts";
import { listConflicts } from "./conflict_log.ts";
import type { Restored } from "./restoration.ts";
import { restoreConflict } from "./restore.ts";

const T = LAB_TIME_NS;
const PLAIN = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
const UNIQUE = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, a)";
const ALL = "SELECT * FROM t ORDER BY 1";

function put(ts: bigint, row: Record<string, SqlValue>, node = 9n): LabEvent {
  return { table: "t", type: "insert", row, ts: T + ts, node };
}

/** Two changes of one row of which the second, by node 8, loses. */
async function lose(
  lab: CoreLab,
  row: Record<string, SqlValue>,
  newer: Record<string, SqlValue>,
): Promise<void> {
  await lab.receive(put(20n, newer), put(10n, row, 8n));
}

/** As the command does it: through a connection of its own. Of the newest conflict, unless said. */
async function restore(lab: CoreLab, options: { id?: bigint; replace?: boolean } = {}): Promise<Restored> {
  using database = Database.open(lab.path);
  const id = options.id ?? listConflicts(database, { table: undefined, limit: 1 })[0]!.id;
  const filter = { include: [], exclude: [] };
  return await restoreConflict(database, { id, filter, node: LAB_NODE, replace: options.replace ?? false });
}

async function refusal(lab: CoreLab, options: { id?: bigint } = {}): Promise<string> {
  const captured = `SELECT count(*) FROM "__harmonylite___global_change_log"`;
  const before = lab.lines(captured);
  const error = await restore(lab, options).then(() => assert.fail("was put back"), (reason) => reason);
  assert.ok(error instanceof DatabaseError, String(error));
  assert.deepEqual(lab.lines(captured), before);
  return `${error.code}: ${error.message}`;
}

Deno.test("restore: the image goes over the row as a new write, which wins by the clock", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lose(lab, { id: 1n, a: "lost" }, { id: 1n, a: "won" });
  assert.deepEqual(await restore(lab), {
    table: "t",
    row: "id = 1",
    outcome: "updated",
    gone: [],
    untouched: [],
    displaced: [],
  });
  assert.deepEqual(lab.lines(ALL), ["1|'lost'"]);
  assert.deepEqual(lab.captured("t", "id", "a"), ["update|1|lost"]);
  assert.deepEqual(lab.lines(`SELECT ts > ${T + 20n} FROM "__harmonylite__t_change_log"`), ["1"]);
  assert.equal((await restore(lab)).outcome, "unchanged");
  assert.equal(lab.captured("t", "id").length, 1);
});

Deno.test("restore: a row that is gone comes back", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lose(lab, { id: 1n, a: "lost" }, { id: 1n, a: "won" });
  lab.run("DELETE FROM t");
  assert.equal((await restore(lab)).outcome, "inserted");
  assert.deepEqual(lab.captured("t", "id", "a"), ["delete|1|won", "insert|1|lost"]);
});

Deno.test("restore: every value is as it was, under any key", async () => {
  const raw = new RawText(new Uint8Array([0xff, 0]));
  const values: SqlValue[] = [
    null,
    (1n << 63n) - 1n,
    -(1n << 63n),
    1.0,
    -Infinity,
    5e-324,
    "",
    "it's\0",
    "1",
    raw,
    new Uint8Array(),
    new Uint8Array([0, 255]),
  ];
  for (const key of values.slice(1)) {
    await using lab = await CoreLab.open(
      `CREATE TABLE t (k PRIMARY KEY, ${
        values.map((_, at) => `v${at}`).join(", ")
      }, g AS (typeof(k)) STORED)`,
    );
    const rowOf = (cells: SqlValue[]): Record<string, SqlValue> =>
      Object.fromEntries([["k", key], ...cells.map((value, at): [string, SqlValue] => [`v${at}`, value])]);
    await lose(lab, rowOf(values), rowOf(values.map(() => 0n)));
    assert.equal((await restore(lab)).outcome, "updated");
    lab.run("DELETE FROM t");
    assert.equal((await restore(lab)).outcome, "inserted");
    const types = lab.all(`SELECT ${values.map((_, at) => `typeof(v${at})`).join(", ")} FROM t`)[0];
    assert.deepEqual(types, values.map(typeOf));
    assert.equal((await restore(lab)).outcome, "unchanged", "which compares every value");
  }
});

function typeOf(value: SqlValue): string {
  if (value === null) return "null";
  if (typeof value === "bigint") return "integer";
  if (typeof value === "number") return "real";
  return value instanceof Uint8Array ? "blob" : "text";
}

Deno.test("restore: a UNIQUE value that another row has now is in the way, unless that row may go", async () => {
  await using lab = await CoreLab.open(UNIQUE);
  await lab.receive(put(10n, { id: 1n, u: 7n, a: "first" }), put(20n, { id: 2n, u: 7n, a: "took it" }, 8n));
  assert.match(
    await refusal(lab),
    /NOT_RESTORED: Cannot put back conflict 1: the row id = 2 holds one of its UNIQUE/,
  );
  const restored = await restore(lab, { replace: true });
  assert.deepEqual([restored.outcome, restored.displaced], ["inserted", ["id = 2"]]);
  assert.deepEqual(lab.lines(ALL), ["1|7|'first'"]);
  assert.deepEqual(lab.captured("t", "id", "a").map((line) => line.split("|")[0]), ["delete", "insert"]);
  await restore(lab, { id: 2n, replace: true });
  assert.deepEqual(lab.lines(ALL), ["2|7|'took it'"], "what went can be taken back the same way");
});

Deno.test("restore: says which columns are gone, and leaves alone those that came later", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)");
  await lose(lab, { id: 1n, a: "a", b: "b", c: "c" }, { id: 1n, a: 0n, b: 0n, c: 0n });
  lab.run(`ALTER TABLE t RENAME COLUMN a TO renamed; ALTER TABLE t DROP COLUMN c`);
  lab.run(`ALTER TABLE t ADD COLUMN d DEFAULT 'default'; UPDATE t SET d = 'kept'`);
  await lab.schema.refresh();
  const updated = await restore(lab);
  assert.deepEqual([updated.gone, updated.untouched], [["c"], ["d"]]);
  assert.deepEqual(lab.lines("SELECT id, renamed, b, d FROM t"), ["1|'a'|'b'|'kept'"]);
  lab.run("DELETE FROM t");
  assert.equal((await restore(lab)).outcome, "inserted");
  assert.deepEqual(lab.lines("SELECT id, renamed, b, d FROM t"), ["1|'a'|'b'|'default'"]);
});

Deno.test("restore: into a table that was renamed since", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lose(lab, { id: 1n, a: "lost" }, { id: 1n, a: "won" });
  lab.run("ALTER TABLE t RENAME TO renamed");
  await lab.schema.refresh();
  assert.equal((await restore(lab)).table, "renamed");
  assert.deepEqual(lab.captured("renamed", "a"), ["update|lost"]);
});

Deno.test("restore: what is in the way is said, and nothing is changed", async () => {
  await using lab = await CoreLab.open(`${PLAIN}; CREATE TABLE other (id INTEGER PRIMARY KEY)`);
  await lose(lab, { id: 1n, a: null }, { id: 1n, a: "won" });
  assert.match(
    await refusal(lab, { id: 77n }),
    /CONFLICT_UNKNOWN: Cannot put back conflict 77: there is none of that/,
  );
  lab.run("CREATE TRIGGER no BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'not on Sundays'); END");
  assert.match(await refusal(lab), /NOT_RESTORED: .*not on Sundays/);
  lab.run(
    "DROP TRIGGER no; DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a NOT NULL CHECK (a > 0))",
  );
  await lab.schema.refresh();
  assert.match(await refusal(lab), /NOT_RESTORED: .*NOT NULL constraint failed: t\.a/);
  lab.run(`UPDATE "__harmonylite___conflict_log" SET row = '{"id":"1","a":"-1"}'`);
  assert.match(await refusal(lab), /NOT_RESTORED: .*CHECK constraint failed/);
  lab.run("DROP TABLE t; CREATE TABLE t (k PRIMARY KEY, id, a)");
  await lab.schema.refresh();
  assert.match(await refusal(lab), /NOT_RESTORED: .*it has no value for "k", which is of the key now/);
  lab.run("DROP TABLE t");
  assert.match(await refusal(lab), /NOT_RESTORED: .*there is no table "t" any more/);
  await lab.database.write(() => dropTriggers(lab.database));
  assert.match(await refusal(lab), /NOT_CAPTURED: .*changes of this database are not captured/);
});

Deno.test("restore: what stands in the log is never taken for SQL", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lose(lab, { id: 1n, a: "lost" }, { id: 1n, a: "won" });
  for (const row of [`{"id":"1","a":"(SELECT 'evil')"}`, `{"id":"1","a":"1; DROP TABLE t"}`, "no JSON"]) {
    lab.run(`UPDATE "__harmonylite___conflict_log" SET row = '${row.replaceAll("'", "''")}'`);
    assert.match(await refusal(lab), /IMAGE_UNREADABLE: Cannot read conflict 1: /);
  }
  lab.run(`UPDATE "__harmonylite___conflict_log" SET row = '{"id":"1","a) VALUES (9); --":"1","a":"2"}'`);
  assert.deepEqual((await restore(lab)).gone, ["a) VALUES (9); --"]);
  assert.deepEqual(lab.lines(ALL), ["1|2"]);
});

Deno.test("restore: rows without a key, or with NULL in it, come back under their rowid", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (a); CREATE TABLE n (k TEXT PRIMARY KEY, a)");
  const event = (table: string, node: bigint, ts: bigint, row: Record<string, SqlValue>): LabEvent => ({
    table,
    type: "insert",
    row,
    ts: T + ts,
    node,
  });
  await lab.receive(
    event("t", 9n, 20n, { rowid: 5n, a: "won" }),
    event("t", 8n, 10n, { rowid: 5n, a: "lost" }),
  );
  assert.equal((await restore(lab)).row, "rowid = 5");
  await lab.receive(
    event("n", 9n, 20n, { k: null, rowid: 5n, a: "won" }),
    event("n", 8n, 10n, { k: null, rowid: 5n, a: "lost" }),
  );
  lab.run("DELETE FROM n; INSERT INTO n (rowid, k, a) VALUES (5, 'keyed', 'has the rowid now')");
  assert.equal((await restore(lab)).outcome, "inserted");
  assert.deepEqual(lab.lines("SELECT rowid, a FROM t"), ["5|'lost'"]);
  assert.deepEqual(lab.lines("SELECT rowid, k, a FROM n ORDER BY k"), [
    "5|NULL|'lost'",
    "6|'keyed'|'has the rowid now'",
  ]);
});

Deno.test("restore: the application's own triggers run, as with any write", async () => {
  await using lab = await CoreLab.open(
    `${PLAIN}; CREATE TABLE audit (id INTEGER PRIMARY KEY, what);
     CREATE TRIGGER seen AFTER UPDATE ON t BEGIN INSERT INTO audit (what) VALUES (NEW.a); END`,
  );
  await lose(lab, { id: 1n, a: "lost" }, { id: 1n, a: "won" });
  await restore(lab);
  assert.deepEqual(lab.lines("SELECT what FROM audit"), ["'lost'"]);
  assert.deepEqual(lab.captured("audit", "what"), ["insert|lost"]);
});
