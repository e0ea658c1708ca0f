import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";
import { RawText, type SqlValue } from "../wire/event.ts";
import { ChangeReader } from "./change_reader.ts";

Deno.test("a change is read with every value as it was stored", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  const stored: readonly [string, SqlValue][] = [
    ["NULL", null],
    ["1", 1n],
    ["1.0", 1],
    ["9223372036854775807", 2n ** 63n - 1n],
    ["-9223372036854775808", -(2n ** 63n)],
    ["-9e999", -Infinity],
    ["''", ""],
    ["x''", new Uint8Array()],
    ["CAST(x'610062' AS TEXT)", "a\0b"],
    ["CAST(x'00' AS TEXT)", "\0"],
    ["CAST(x'61ff' AS TEXT)", new RawText(new Uint8Array([0x61, 0xff]))],
    ["CAST(x'ff0061' AS TEXT)", new RawText(new Uint8Array([0xff, 0, 0x61]))],
    ["'\uFFFD'", "\uFFFD"],
    ["CAST(x'efbbbf61' AS TEXT)", "\uFEFFa"],
    ["x'ff00'", new Uint8Array([0xff, 0])],
  ];
  for (const [sql] of stored) lab.run(`INSERT INTO t (a) VALUES (${sql})`);
  const reader = new ChangeReader(lab.database, lab.schema.current);
  const read = stored.map((_, at) => reader.one("t", BigInt(at + 1))!);
  // `shape.columns` is in order of name: a, id.
  assert.deepEqual(read.map(({ values }) => values[0]), stored.map(([, value]) => value));
});

Deno.test("a change that is asked for alone is read ahead, and forgotten when told to", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  lab.run("INSERT INTO t VALUES (1, 'x')");
  const reader = new ChangeReader(lab.database, lab.schema.current);
  assert.equal(reader.one("t", 1n)?.values[0], "x");
  assert.equal(reader.one("t", 2n), undefined);
  lab.run("INSERT INTO t VALUES (2, 'y')");
  reader.forget();
  assert.equal(reader.one("t", 2n)?.values[0], "y");
});

Deno.test("a change is read in the shape that its table had then", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, b)");
  lab.run("INSERT INTO t VALUES (1, 'x'); ALTER TABLE t ADD COLUMN a");
  await lab.schema.refresh();
  lab.run("INSERT INTO t VALUES (2, 'y', 'z')");
  const reader = new ChangeReader(lab.database, lab.schema.current);
  const read = [reader.one("t", 1n)!, reader.one("t", 2n)!];
  assert.deepEqual(read.map(({ shape }) => shape.columns), [["b", "id"], ["a", "b", "id"]]);
  assert.deepEqual(read.map(({ values }) => values), [["x", 1n], ["z", "y", 2n]]);
});

Deno.test("a change that was captured after others were read ahead is found, too", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  lab.run("INSERT INTO t VALUES (1, 1)");
  const changes = new ChangeReader(lab.database, lab.schema.current);
  assert.deepEqual(changes.one("t", 1n)?.values, [1n, 1n]);
  lab.run("INSERT INTO t VALUES (2, 2)");
  assert.deepEqual(changes.one("t", 2n)?.values, [2n, 2n]);
  assert.equal(changes.one("t", 3n), undefined);
});

Deno.test("changes that are expected are read with each other, and others are found as well", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  lab.run(
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 200) INSERT INTO t SELECT i, i FROM n",
  );
  const reader = new ChangeReader(lab.database, lab.schema.current);
  const ids = Array.from({ length: 100 }, (_, at) => BigInt(2 * at + 1));
  reader.expect(new Map([["t", ids]]));
  assert.equal(reader.one("t", 1n)?.id, 1n);
  lab.run(`DELETE FROM "__harmonylite__t_change_log" WHERE id IN (2, 3, 199)`);
  assert.equal(reader.one("t", 3n)?.id, 3n, "was read with the first");
  assert.deepEqual([2n, 199n, 200n, 197n].map((id) => reader.one("t", id)?.id), [
    undefined,
    undefined,
    200n,
    197n,
  ]);
});

Deno.test("large changes are read one by one, and of a large delete only what travels", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  lab.run(`INSERT INTO t VALUES (1, 'x'), (2, zeroblob(100000)), (3, 'y'); DELETE FROM t WHERE id = 2`);
  const reader = new ChangeReader(lab.database, lab.schema.current);
  const read = [1n, 2n, 3n, 4n].map((id) => reader.one("t", id)!);
  assert.deepEqual(read.map(({ type, values }) => [type, values[1]]), [
    ["insert", 1n],
    ["insert", 2n],
    ["insert", 3n],
    ["delete", 2n],
  ]);
  assert.deepEqual(read.map(({ values }) => values[0]), ["x", new Uint8Array(100_000), "y", null]);
  lab.run("INSERT INTO t VALUES (9, zeroblob(300000000))");
  assert.equal(reader.one("t", 5n), undefined, "what was captured after a look ahead may be too large, too");
  lab.run(`DELETE FROM "__harmonylite__t_change_log" WHERE id = 5`);
  assert.deepEqual([2n, 4n, 5n].map((id) => reader.bytesOf("t", id)), [100_001, 1, 0]);
  assert.equal(reader.describeKey("t", 4n), "id=2");
  assert.ok(reader.timeOf("t", 4n)! > reader.timeOf("t", 1n)!);
});
