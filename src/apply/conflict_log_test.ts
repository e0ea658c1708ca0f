import assert from "node:assert/strict";
import { CoreLab, LAB_NODE, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import { RawText, type SqlValue } from "../wire/event.ts";
import { ConflictLog, describeRow, keyOf, listConflicts } from "./conflict_log.ts";
import { ShapeHistory } from "../schema/shape_history.ts";

const T = LAB_TIME_NS;
const PLAIN = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";

function change(
  node: bigint,
  ts: bigint,
  row: Record<string, SqlValue>,
  type: LabEvent["type"] = "update",
): LabEvent {
  return { table: "t", type, row, ts: T + ts, node };
}

/** Reason, image without its key, losing and winning version, the oldest first. */
function logged(lab: CoreLab): string[] {
  return listConflicts(lab.database, { table: undefined, limit: 100 }).reverse().map((conflict) => {
    const { reason, image, loser, winner } = conflict;
    const cells = [...image].filter(([column]) => column !== "id");
    const version = (by: typeof winner): string => `${by.ts - T}/${by.node}`;
    return `${reason} ${describeRow(cells)}: ${loser ? version(loser) : "-"} < ${version(winner)}`;
  });
}

Deno.test("overridden: a change that comes after a newer one of another node, on every node", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.receive(change(9n, 20n, { id: 1n, a: "newer" }), change(8n, 10n, { id: 1n, a: "older" }));
  assert.deepEqual(logged(lab), ["older a = 'older': 10/8 < 20/9"]);
});

Deno.test("overridden: a change that meets a newer own one on its way, which was made without seeing it", async () => {
  await using lab = await CoreLab.open(PLAIN);
  lab.runAt(T + 20n, "INSERT INTO t VALUES (1, 'own')");
  await lab.receive(change(9n, 10n, { id: 1n, a: "unseen" }));
  assert.deepEqual(logged(lab), [`older a = 'unseen': 10/9 < 20/${LAB_NODE}`]);
});

Deno.test("overridden: a change that meets a newer own delete on its way", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.receive(change(9n, 1n, { id: 1n, a: "first" }));
  lab.runAt(T + 20n, "DELETE FROM t");
  await lab.receive(change(9n, 10n, { id: 1n, a: "unseen" }));
  assert.deepEqual(logged(lab), [`older a = 'unseen': 10/9 < 20/${LAB_NODE}`]);
});

Deno.test("not overridden: what a node wrote over itself, or after it had seen it", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a, u UNIQUE)");
  await lab.receive(
    change(9n, 10n, { id: 1n, a: "first", u: 1n }),
    change(9n, 11n, { id: 1n, a: "same node", u: 1n }),
  );
  await lab.receive(change(8n, 12n, { id: 1n, a: "another node later", u: 1n }));
  lab.runAt(T + 20n, "UPDATE t SET a = 'own'");
  const [first] = await lab.read();
  lab.runAt(T + 30n, "UPDATE t SET a = 'own again'");
  for (const part of first!.batch.parts) await lab.apply(lab.messageOfPart(part));
  assert.deepEqual(logged(lab), []);
});

Deno.test("not overridden: a delete, which leaves nothing to put back", async () => {
  await using lab = await CoreLab.open(PLAIN);
  await lab.receive(change(9n, 20n, { id: 1n, a: "newer" }), change(8n, 10n, { id: 1n }, "delete"));
  lab.runAt(T + 50n, "UPDATE t SET a = 'own'");
  await lab.receive(change(8n, 40n, { id: 1n }, "delete"));
  assert.deepEqual(logged(lab), []);
});

Deno.test("of many changes of one row that a node lost against one other, the last is kept", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const lost = Array.from({ length: 50 }, (_, at) => change(8n, BigInt(at), { id: 1n, a: BigInt(at) }));
  await lab.receive(
    change(9n, 100n, { id: 1n, a: "newer" }),
    change(9n, 101n, { id: 2n, a: "newer" }),
    ...lost,
    change(8n, 60n, { id: 2n, a: "another row" }),
    change(7n, 60n, { id: 1n, a: "another node" }),
  );
  assert.deepEqual(logged(lab), [
    "older a = 49: 49/8 < 100/9",
    "older a = 'another row': 60/8 < 101/9",
    "older a = 'another node': 60/7 < 100/9",
  ]);
});

Deno.test("the image of a displaced row holds every value exactly", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, a, b, c, d, e)");
  lab.run(
    `INSERT INTO t VALUES (1, 7, CAST(x'610062' AS TEXT), CAST(x'61ff' AS TEXT), 'Grüße', 0.1, -9e999)`,
  );
  await lab.receive(
    change(9n, 10n, { id: 2n, u: 7n, a: null, b: null, c: null, d: null, e: null }, "insert"),
  );
  const [conflict] = listConflicts(lab.database, { table: "T", limit: 1 });
  assert.deepEqual(Object.fromEntries(conflict!.image), {
    id: 1n,
    u: 7n,
    a: "a\0b",
    b: new RawText(new Uint8Array([0x61, 0xff])),
    c: "Grüße",
    d: 0.1,
    e: -Infinity,
  });
  assert.deepEqual([...keyOf(conflict!, new ShapeHistory(lab.database))], [["id", 1n]]);
  assert.equal(conflict!.loser, undefined, "no stream ever spoke of it");
});

Deno.test("of an image that is very large the largest values are left out", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)");
  const [large, larger] = [new Uint8Array(5 << 20), new Uint8Array(6 << 20)];
  await lab.receive(
    change(9n, 20n, { id: 1n, a: 0n, b: 0n, c: 0n }),
    change(8n, 10n, { id: 1n, a: large, b: larger, c: "small" }),
  );
  const [conflict] = listConflicts(lab.database, { table: undefined, limit: 1 });
  assert.deepEqual([...conflict!.image.keys()], ["a", "c", "id"]);
  assert.deepEqual(conflict!.image.get("a"), large);
});

Deno.test("the log keeps the newest ten thousand images", async () => {
  await using lab = await CoreLab.open(PLAIN);
  const version = { ts: 1n, node: 1n };
  await lab.database.write(() => {
    const log = new ConflictLog(lab.database);
    const image = new Map([["id", 1n]]);
    for (let i = 0; i < 12_250; i++) {
      log.record({
        table: "t",
        reason: "displaced",
        image,
        loser: version,
        winner: version,
      });
    }
  });
  const [count, newest] = lab.all(`SELECT count(*), max(id) FROM "__harmonylite___conflict_log"`)[0] as [
    bigint,
    bigint,
  ];
  assert.ok(count >= 10_000n && count < 10_500n, String(count));
  assert.equal(newest, 12_250n);
});
