import assert from "node:assert/strict";
import { CoreLab, LAB_NODE, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import { markPublished } from "../publish/acknowledgement.ts";
import type { ShardBatch } from "../publish/round.ts";
import type { SqlValue } from "../wire/event.ts";

const T = LAB_TIME_NS;
const HOUR_MS = 3_600_000;
const HOUR_NS = 3_600_000_000_000n;
const PLAIN = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
const UNIQUE = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, a)";
const ALL = "SELECT * FROM t ORDER BY 1";

function put(ts: bigint, row: Record<string, SqlValue>, node = 9n): LabEvent {
  return { table: "t", type: "insert", row, ts: T + ts, node };
}

function remove(ts: bigint, row: Record<string, SqlValue>, node = 9n): LabEvent {
  return { table: "t", type: "delete", row, ts: T + ts, node };
}

function versions(lab: CoreLab): string[] {
  return lab.lines(`SELECT val_id, ts - ${T}, node, deleted <> 0 FROM "__harmonylite__t_row_version"`);
}

/** Reads what is pending and lets it come back as the stream's next messages. */
async function comeBack(lab: CoreLab): Promise<void> {
  for (const { batch } of await lab.read()) {
    for (const part of batch.parts) await lab.apply(lab.messageOfPart(part));
  }
}

Deno.test("fold: a newer event is written, an older one is not", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.receive(put(10n, { id: 1n, a: "first" }));
  await lab.receive(put(20n, { id: 1n, a: "newer" }));
  await lab.receive(put(15n, { id: 1n, a: "older" }, 8n));
  assert.deepEqual(lab.lines(ALL), ["1|'newer'"]);
  assert.deepEqual(versions(lab), ["1|20|9|0"]);
  assert.equal(lab.messages.counters.lost, 1);
});

Deno.test("fold: at equal clocks the higher node wins, in whichever order they come", async () => {
  for (const [first, second] of [[8n, 9n], [9n, 8n]] as const) {
    await using lab = await CoreLab.open(PLAIN);
    await lab.receive(put(10n, { id: 1n, a: first }, first));
    await lab.receive(put(10n, { id: 1n, a: second }, second));
    assert.deepEqual(lab.lines(ALL), ["1|9"]);
  }
});

Deno.test("fold: at equal clocks of one node the content decides, in whichever order they come", async () => {
  const results: string[] = [];
  for (const order of [["x", "y"], ["y", "x"]]) {
    await using lab = await CoreLab.open(PLAIN);
    for (const a of order) await lab.receive(put(10n, { id: 1n, a }));
    results.push(...lab.lines(ALL));
  }
  assert.equal(results[0], results[1]);
});

Deno.test("fold: an event that comes twice changes nothing", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.receive(put(10n, { id: 1n, a: "x" }));
  await lab.receive(put(10n, { id: 1n, a: "x" }));
  assert.deepEqual(lab.messages.counters, { applied: 1, lost: 0, quarantined: 0 });
});

Deno.test("fold: a delete beats what is older, and leaves a tombstone", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.receive(put(10n, { id: 1n, a: "x" }), remove(20n, { id: 1n }), put(15n, { id: 1n, a: "late" }));
  assert.deepEqual(lab.lines(ALL), []);
  assert.deepEqual(versions(lab), ["1|20|9|1"]);
});

Deno.test("fold: a tombstone counts as absent after the retention, by the time of the stream", async () => {
  await using lab = await CoreLab.open(PLAIN, { versionRetentionMs: HOUR_MS });
  await lab.receiveAt(T, remove(20n, { id: 1n }));
  await lab.receiveAt(T + HOUR_NS, put(10n, { id: 1n, a: "too early" }));
  assert.deepEqual(lab.lines(ALL), []);
  await lab.receiveAt(T + HOUR_NS + 1n, put(10n, { id: 1n, a: "late enough" }));
  assert.deepEqual(lab.lines(ALL), ["1|'late enough'"]);
});

Deno.test("fold: once an own delete that came back has expired, an older change is not held off by it", async () => {
  await using lab = await CoreLab.open(`${PLAIN}; INSERT INTO t VALUES (1, 'x')`, {
    versionRetentionMs: HOUR_MS,
  });
  lab.runAt(T + 20n, "DELETE FROM t");
  const [{ batch, changes }] = await lab.read() as [ShardBatch];
  await markPublished(lab.database, lab.schema, changes, { shard: 1, sequence: 1 });
  // The second one asks for what is on its way, in the transaction in which the delete comes back.
  await lab.apply(lab.messageOfPart(batch.parts[0]!), lab.messageOf([put(15n, { id: 2n, a: "y" })]));
  await lab.receiveAt(T + HOUR_NS + 1n, put(10n, { id: 1n, a: "older" }));
  assert.deepEqual(lab.lines(ALL), ["1|'older'", "2|'y'"]);
});

Deno.test("fold: a message whose time lies before that of an earlier one does not set the stream's time back", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.receiveAt(T + 100n, put(1n, { id: 1n, a: 1n }));
  await lab.receiveAt(T + 50n, put(2n, { id: 1n, a: 2n }));
  assert.equal(lab.position.time, T + 100n);
});

Deno.test("fold: an older remote change does not show over an own one that is on its way, but its version is kept", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.runAt(T + 50n, "INSERT INTO t VALUES (1, 'own')");
  await lab.receive(put(10n, { id: 1n, a: "older" }));
  assert.deepEqual(lab.lines(ALL), ["1|'own'"]);
  assert.deepEqual(versions(lab), ["1|10|9|0"]);
  await comeBack(lab);
  assert.deepEqual(lab.lines(ALL), ["1|'own'"]);
  assert.deepEqual(versions(lab), [`1|50|${LAB_NODE}|0`]);
});

Deno.test("fold: a newer remote change shows over an own one that is on its way", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.runAt(T + 50n, "INSERT INTO t VALUES (1, 'own')");
  await lab.receive(put(60n, { id: 1n, a: "newer" }));
  await comeBack(lab);
  assert.deepEqual(lab.lines(ALL), ["1|'newer'"]);
});

Deno.test("fold: an own delete on its way is not undone by an older remote write", async () => {
  await using lab = await CoreLab.open(`${PLAIN}; INSERT INTO t VALUES (1, 'x')`);
  lab.runAt(T + 50n, "DELETE FROM t");
  await lab.receive(put(10n, { id: 1n, a: "older" }));
  assert.deepEqual(lab.lines(ALL), []);
});

Deno.test("fold: after an own change has come back an older remote one is simply older", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.runAt(T + 50n, "INSERT INTO t VALUES (1, 'own')");
  await comeBack(lab);
  await lab.receive(put(10n, { id: 1n, a: "older" }));
  assert.deepEqual(lab.lines(ALL), ["1|'own'"]);
  assert.equal(lab.messages.counters.lost, 1);
});

Deno.test("fold: an own change that comes back does not write its row", async () => {
  await using lab = await CoreLab.open(
    `${PLAIN}; CREATE TABLE seen (id); CREATE TRIGGER count AFTER UPDATE ON t BEGIN INSERT INTO seen VALUES (1); END`,
    { filter: { include: ["t"], exclude: [] } },
  );
  lab.runAt(T, "INSERT INTO t VALUES (1, 'own')");
  await comeBack(lab);
  assert.deepEqual(lab.lines("SELECT count(*) FROM seen"), ["0"]);
});

Deno.test("fold: an own change comes back to a row that an expired newer delete had removed", async () => {
  await using lab = await CoreLab.open(PLAIN, { versionRetentionMs: HOUR_MS });
  lab.runAt(T + 50n, "INSERT INTO t VALUES (1, 'own')");
  await lab.receiveAt(T + 60n, remove(60n, { id: 1n }));
  const [sent] = await lab.read();
  const late = T + 2n * HOUR_NS;
  await lab.apply({ ...lab.messageOfPart(sent!.batch.parts[0]!), timeNs: late });
  assert.deepEqual(lab.lines(ALL), ["1|'own'"], "as on every other node");
});

Deno.test("fold: an event with our own id that we never made is applied like a stranger's", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.runAt(T + 50n, "INSERT INTO t VALUES (1, 'own')");
  await lab.receive({ ...put(60n, { id: 1n, a: "from a restored copy" }), node: LAB_NODE, id: 1n });
  assert.deepEqual(lab.lines(ALL), ["1|'from a restored copy'"]);
});

Deno.test("fold: one change sent under two ids, as its database was copied, is no conflict and leaves one row", async () => {
  for (const node of [LAB_NODE - 1n, LAB_NODE + 1n]) {
    await using lab = await CoreLab.open(PLAIN);
    lab.runAt(T + 50n, "INSERT INTO t VALUES (1, 'copied')");
    const [own] = await lab.read();
    await lab.receive(put(50n, { id: 1n, a: "copied" }, node));
    for (const part of own!.batch.parts) await lab.apply(lab.messageOfPart(part));
    assert.deepEqual(lab.lines(ALL), ["1|'copied'"]);
    assert.deepEqual(lab.lines(`SELECT * FROM "__harmonylite___conflict_log"`), [], `sent by ${node}`);
  }
});

Deno.test("fold: the next own write lies above every change that was seen", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.receive(put(1_000_000n, { id: 1n, a: "ahead" }));
  lab.run("UPDATE t SET a = 'after'");
  assert.deepEqual(lab.lines(`SELECT ts - ${T} FROM "__harmonylite__t_change_log"`), ["1000001"]);
});

Deno.test("fold: nothing that is applied is captured as new", async () => {
  await using lab = await CoreLab.open(UNIQUE);
  await lab.receive(
    put(1n, { id: 1n, u: 1n, a: 1n }),
    put(2n, { id: 2n, u: 1n, a: 1n }),
    remove(3n, { id: 2n }),
  );
  assert.deepEqual(lab.captured("t", "id"), []);
});

Deno.test("displacement: the later arrival takes a UNIQUE value, and the row it displaces keeps its version", async () => {
  await using lab = await CoreLab.open(UNIQUE);
  await lab.receive(put(20n, { id: 1n, u: 7n, a: "first" }), put(10n, { id: 2n, u: 7n, a: "later" }));
  assert.deepEqual(lab.lines(ALL), ["2|7|'later'"]);
  assert.deepEqual(versions(lab), ["1|20|9|0", "2|10|9|0"]);
});

Deno.test("displacement: a row that no stream ever spoke of leaves a mark, and its image", async () => {
  await using lab = await CoreLab.open(`${UNIQUE}; INSERT INTO t VALUES (1, 7, 'before us')`);
  await lab.receive(put(10n, { id: 2n, u: 7n, a: "new" }));
  assert.deepEqual(versions(lab).toSorted(), [`1|${-T}|0|0`, "2|10|9|0"]);
  assert.deepEqual(
    lab.lines(`SELECT reason, row ->> '$.a' FROM "__harmonylite___conflict_log"`),
    ["'displaced'|''before us''"],
  );
});

Deno.test("displacement: happens also when the event's own row is kept, but spares rows with a newer own change", async () => {
  await using lab = await CoreLab.open(UNIQUE);
  await lab.receive(put(1n, { id: 2n, u: 7n, a: "holds 7" }));
  lab.runAt(T + 50n, "INSERT INTO t VALUES (1, 1, 'own')");
  lab.runAt(T + 60n, "INSERT INTO t VALUES (3, 8, 'own, holds 8')");
  await lab.receive(put(10n, { id: 1n, u: 7n, a: "older" }));
  assert.deepEqual(lab.lines(ALL), ["1|1|'own'", "3|8|'own, holds 8'"]);
  await lab.receive(put(11n, { id: 1n, u: 8n, a: "older" }));
  assert.deepEqual(lab.lines(ALL), ["1|1|'own'", "3|8|'own, holds 8'"]);
});

Deno.test("displacement: an own row that was displaced comes back with its own change", async () => {
  await using lab = await CoreLab.open(UNIQUE);
  lab.runAt(T + 50n, "INSERT INTO t VALUES (1, 7, 'own')");
  await lab.receive(put(60n, { id: 2n, u: 7n, a: "remote" }));
  assert.deepEqual(lab.lines(ALL), ["2|7|'remote'"]);
  await comeBack(lab);
  assert.deepEqual(lab.lines(ALL), ["1|7|'own'"], "it arrived later");
});

Deno.test("displacement: values swapped in one transaction end as they were written", async () => {
  await using lab = await CoreLab.open(UNIQUE);
  await lab.receive(
    put(1n, { id: 1n, u: 1n, a: "x" }),
    put(2n, { id: 2n, u: 2n, a: "y" }),
    put(3n, { id: 1n, u: 9n, a: "x" }),
    put(4n, { id: 2n, u: 1n, a: "y" }),
    put(5n, { id: 1n, u: 2n, a: "x" }),
  );
  assert.deepEqual(lab.lines(ALL), ["1|2|'x'", "2|1|'y'"]);
});

Deno.test("what was written to a new column before our triggers knew it is logged anew when it comes back", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.run("BEGIN; ALTER TABLE t ADD COLUMN b; INSERT INTO t VALUES (1, 'a', 'b'); COMMIT");
  assert.deepEqual(lab.captured("t", "a"), ["insert|a"]);
  await comeBack(lab);
  assert.equal(lab.captured("t", "a", "b").at(-1), "update|a|b");
  await comeBack(lab);
  assert.equal(lab.captured("t", "a", "b").length, 2, "and that is all");
});

Deno.test("keys: 'a' and 'A' under NOCASE are one row, and its spelling travels", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, a)");
  await lab.receive(put(1n, { k: "a", a: 1n }), put(2n, { k: "A", a: 2n }));
  assert.deepEqual(lab.lines("SELECT k, a FROM t"), ["'A'|2"]);
});

Deno.test("keys: 1 and 1.0 without a type are one row, and its type travels", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (k PRIMARY KEY, a)");
  await lab.receive(put(1n, { k: 1n, a: 1n }), put(2n, { k: 1.0, a: 2n }));
  assert.deepEqual(lab.lines("SELECT k, a FROM t"), ["1.0|2"]);
});

Deno.test("keys: the lowest integer, which an INT column keeps as REAL too, is one row, and its type travels", async () => {
  for (const [first, second] of [[-(2 ** 63), -(2n ** 63n)], [-(2n ** 63n), -(2 ** 63)]] as const) {
    await using lab = await CoreLab.open("CREATE TABLE t (k INT PRIMARY KEY, a)");
    await lab.receive(put(10n, { k: first, a: "first" }));
    await lab.receive(put(20n, { k: second, a: "second" }));
    const type = typeof second === "bigint" ? "integer" : "real";
    assert.deepEqual(lab.lines("SELECT typeof(k), a FROM t"), [`'${type}'|'second'`]);
  }
});

Deno.test("keys: a collation that only the key's index has", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (k TEXT, a, PRIMARY KEY (k COLLATE NOCASE))");
  await lab.receive(put(1n, { k: "a", a: 1n }), put(2n, { k: "A", a: 2n }));
  assert.deepEqual(lab.quarantined, []);
  assert.deepEqual(lab.lines("SELECT k, a FROM t"), ["'A'|2"]);
});

Deno.test("columns that an event lacks keep their local value", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b DEFAULT 'default')");
  await lab.receive(
    put(1n, { id: 1n, a: 1n, b: "kept" }),
    put(2n, { id: 1n, a: 2n }),
    put(3n, { id: 2n, a: 1n }),
  );
  assert.deepEqual(lab.lines(ALL), ["1|2|'kept'", "2|1|'default'"]);
});

Deno.test("a row to which an event lacks columns, met by an own change, is logged anew in full, above the event", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)");
  lab.runAt(T, "INSERT INTO t VALUES (1, 'own', 'b')");
  await lab.receive(put(1_000_000n, { id: 1n, a: "newer" }));
  assert.deepEqual(lab.captured("t", "a", "b"), ["insert|own|b", "update|newer|b"]);
  assert.deepEqual(lab.lines(`SELECT max(ts) - ${T} FROM "__harmonylite__t_change_log"`), ["1000001"]);
});

Deno.test("an own change that lacks a column is completed from an older event and logged anew", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.runAt(T + 50n, "INSERT INTO t VALUES (1, 'own')");
  lab.run("ALTER TABLE t ADD COLUMN b");
  await lab.receive(put(10n, { id: 1n, a: "older", b: "b" }));
  assert.deepEqual(lab.lines(ALL), ["1|'own'|'b'"]);
  assert.equal(lab.captured("t", "a", "b").at(-1), "update|own|b");
});

Deno.test("displacement: finds the clash on a partial index and on an expression", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, u, e TEXT, active INTEGER);
     CREATE UNIQUE INDEX one ON t (u) WHERE active = 1; CREATE UNIQUE INDEX two ON t (lower(e))`,
  );
  await lab.receive(
    put(1n, { id: 1n, u: 7n, e: "x", active: 1n }),
    put(2n, { id: 2n, u: 7n, e: "y", active: 0n }),
  );
  assert.deepEqual(lab.lines("SELECT id FROM t ORDER BY id"), ["1", "2"]);
  await lab.receive(put(3n, { id: 3n, u: 7n, e: "Y", active: 1n }));
  assert.deepEqual(lab.lines("SELECT id FROM t ORDER BY id"), ["3"]);
});
