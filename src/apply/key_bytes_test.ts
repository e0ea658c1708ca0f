import assert from "node:assert/strict";
import { CoreLab, LAB_NODE, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import { RawText, type SqlValue } from "../wire/event.ts";

const T = LAB_TIME_NS;
/** Keys that are text which the SQLite driver cuts at its NUL, or a JavaScript string cannot hold. */
const KEYS: readonly (readonly [sql: string, value: SqlValue])[] = [
  ["CAST(x'610062' AS TEXT)", "a\0b"],
  ["CAST(x'ff61' AS TEXT)", new RawText(new Uint8Array([0xff, 0x61]))],
  ["CAST(x'00ff' AS TEXT)", new RawText(new Uint8Array([0, 0xff]))],
];

Deno.test("a key with NUL or invalid UTF-8: an older event does not show over an own change on its way", async () => {
  for (const [sql, k] of KEYS) {
    await using lab = await CoreLab.open("CREATE TABLE t (k TEXT PRIMARY KEY, a)");
    lab.runAt(T + 20n, `INSERT INTO t VALUES (${sql}, 'own')`);
    await lab.receive({ table: "t", type: "insert", row: { k, a: "older" }, ts: T + 10n, node: 9n });
    assert.deepEqual(lab.lines("SELECT a FROM t"), ["'own'"], sql);
  }
});

Deno.test("a key with NUL or invalid UTF-8: its row goes when another takes its UNIQUE value", async () => {
  for (const [sql, k] of KEYS) {
    await using lab = await CoreLab.open("CREATE TABLE t (k TEXT PRIMARY KEY, u UNIQUE)");
    await lab.receive({ table: "t", type: "insert", row: { k, u: 1n }, ts: T + 10n, node: 9n });
    await lab.receive({ table: "t", type: "insert", row: { k: "new", u: 1n }, ts: T + 20n, node: 9n });
    assert.deepEqual(lab.quarantined, [], sql);
    assert.deepEqual(lab.lines("SELECT * FROM t"), ["'new'|1"], sql);
    await lab.receive({ table: "t", type: "update", row: { k, u: 2n }, ts: T + 5n, node: 9n });
    assert.deepEqual(lab.lines("SELECT * FROM t"), ["'new'|1"], `${sql} has kept its version`);
  }
});

Deno.test("a key that is text of some bytes and one that is a blob of the same are two rows", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (k PRIMARY KEY, a)");
  for (const k of [KEYS[1]![1], new Uint8Array([0xff, 0x61])]) {
    await lab.receive({ table: "t", type: "insert", row: { k, a: "x" }, ts: T + 10n, node: LAB_NODE + 1n });
  }
  assert.deepEqual(lab.lines("SELECT typeof(k) FROM t ORDER BY 1"), ["'blob'", "'text'"]);
  assert.deepEqual(lab.lines('SELECT typeof(val_k) FROM "__harmonylite__t_row_version" ORDER BY 1'), [
    "'blob'",
    "'text'",
  ]);
});
