import assert from "node:assert/strict";
import { CoreLab, LAB_NODE, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import { RawText, type SqlValue } from "../wire/event.ts";
import { keyChecks } from "./key_affinity.ts";

const TYPES = ["INTEGER", "INT", "TEXT", "VARCHAR(9)", "REAL", "DOUBLE", "NUMERIC", "DATETIME", "BLOB", ""];
const VALUES: readonly SqlValue[] = [
  ...[0n, 7n, 2n ** 63n - 1n, 7, -0, 7.5, 1e300, 2 ** 63, -(2 ** 63), Infinity, new Uint8Array([55])],
  ...["7", " 7 ", "\t7\n", "7.0", "7.", ".5", "+7", "-7e2", "1e400", "9223372036854775808"],
  ...["", "x7", "7x", "0x10", "7 7", "1e", ".", "nan", "inf", "2020-01-01", "\v7\f", "\u00a07"],
];

Deno.test("a key is taken exactly when SQLite stores it as it is", async () => {
  for (const type of TYPES) {
    // Not a key here: a rowid refuses what no integer can be made of.
    await using lab = await CoreLab.open(
      `CREATE TABLE t (k ${type} PRIMARY KEY, v); CREATE TABLE bare (k ${type})`,
    );
    const [check] = keyChecks(lab.schema.current.tables.get("t")!);
    const store = lab.application.prepare("INSERT INTO bare VALUES (?) RETURNING typeof(k) || quote(k)");
    const same = lab.application.prepare("SELECT typeof(?1) || quote(?1)");
    for (const value of VALUES) {
      const bound = value as Exclude<SqlValue, RawText>;
      const stays = String(store.get(bound)) === String(same.get(bound));
      assert.equal(check!(value), stays, `${typeof value} ${value} in ${type || "no type"}`);
    }
    assert.equal(check!(new RawText(new Uint8Array([55, 255]))), true);
    assert.equal(check!(null), true);
  }
});

Deno.test("an event whose key only looks like that of an own row on its way goes into quarantine", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  lab.runAt(LAB_TIME_NS + 9n, "INSERT INTO t VALUES (7, 'ours')");
  const [sent] = await lab.read();
  for (const id of ["7", 7]) {
    await lab.receive({ table: "t", type: "insert", row: { id, a: "theirs" }, ts: LAB_TIME_NS });
  }
  await lab.apply(...sent!.batch.parts.map((part) => lab.messageOfPart(part)));
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["7|'ours'"], `as on a node other than ${LAB_NODE}`);
  assert.equal(lab.quarantined.length, 2);
});
