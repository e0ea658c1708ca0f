import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import { repairRows } from "../apply/repair.ts";
import { Comparison, type TableResult } from "./comparison.ts";
import { LocalRows } from "./local_rows.ts";

const SCHEMA = `
  CREATE TABLE plain (id INTEGER PRIMARY KEY, a, b TEXT);
  CREATE TABLE bare (a);
  CREATE TABLE pair (p TEXT, q, a, PRIMARY KEY (p, q)) WITHOUT ROWID;
  CREATE TABLE folded (k TEXT PRIMARY KEY COLLATE NOCASE, a);
  CREATE TABLE holes (k TEXT PRIMARY KEY, a);
  CREATE TABLE uniq (id INTEGER PRIMARY KEY, u UNIQUE);`;

const SETTLE_MS = 300;

function rowsOf({ database, schema, messages }: CoreLab): LocalRows {
  const { signal } = new AbortController();
  return new LocalRows({
    database,
    schema,
    repair: (events) => repairRows(database, messages, events, signal),
    signal,
  });
}

class Pair implements AsyncDisposable {
  constructor(readonly here: CoreLab, readonly there: CoreLab) {}

  static async open(): Promise<Pair> {
    return new Pair(await CoreLab.open(SCHEMA), await CoreLab.open(SCHEMA));
  }

  async receive(...events: LabEvent[]): Promise<void> {
    for (const lab of [this.here, this.there]) await lab.receive(...events);
  }

  async compare(): Promise<{ comparison: Comparison; results: TableResult[] }> {
    const here = rowsOf(this.here);
    // Both have read the same, whatever was delivered to each.
    for (const lab of [this.here, this.there]) {
      lab.run(`UPDATE "__harmonylite___position" SET sequence = 1000`);
    }
    const comparison = new Comparison(here, rowsOf(this.there), new AbortController().signal, SETTLE_MS);
    const results: TableResult[] = [];
    for (const kind of await here.kinds()) results.push(await comparison.compare(kind));
    return { comparison, results };
  }

  /** How many rows of each table differ. */
  async differing(): Promise<Record<string, number>> {
    const { results } = await this.compare();
    const counts = results.filter(({ differences }) => differences.length > 0)
      .map(({ kind, differences }) => [kind.nulls ? `${kind.table} (NULL)` : kind.table, differences.length]);
    return Object.fromEntries(counts);
  }

  async repair(): Promise<void> {
    const { comparison, results } = await this.compare();
    for (const result of results) await comparison.repair(result);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.here[Symbol.asyncDispose]();
    await this.there[Symbol.asyncDispose]();
  }
}

/** Changes rows behind the back of capture, as a damaged disk or a hand without triggers does. */
function tamper(lab: CoreLab, sql: string): void {
  const logs = ["_global", "plain", "bare", "pair", "folded", "holes", "uniq"];
  const empty = logs.map((table) => `DELETE FROM "__harmonylite__${table}_change_log";`).join("");
  lab.run(`${sql}; ${empty}`);
}

const MANY = `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 20000)`;
const ROWS = `INSERT INTO plain SELECT i, i / 2.0, 'row ' || i FROM n;`;

Deno.test("two nodes with the same rows of every kind are found equal, and all rows are counted", async () => {
  await using pair = await Pair.open();
  for (const lab of [pair.here, pair.there]) {
    tamper(
      lab,
      `${MANY} ${ROWS} INSERT INTO bare VALUES (1), (2), (NULL), (x'00');
       INSERT INTO pair VALUES ('', 1, 1), ('', 1.5, 1), ('a', x'00', NULL), (CAST(x'ff' AS TEXT), 'z', 1), ('a' || char(0), 0, 0);
       INSERT INTO folded VALUES ('a', 1), ('B', 2), ('c', 3); INSERT INTO holes VALUES (NULL, 1), (NULL, 2), ('k', 3)`,
    );
  }
  const { results } = await pair.compare();
  assert.deepEqual(await pair.differing(), {});
  const counts = results.map(({ kind, rows }) => `${kind.table}${kind.nulls ? " NULL" : ""} ${rows}`);
  assert.deepEqual(counts.sort(), [
    "bare 4",
    "folded 3",
    "folded NULL 0",
    "holes 1",
    "holes NULL 2",
    "pair 5",
    "plain 20000",
    "uniq 0",
  ]);
});

Deno.test("a row that one node has otherwise, more or less is found, wherever it lies", async () => {
  await using pair = await Pair.open();
  for (const lab of [pair.here, pair.there]) tamper(lab, `${MANY} ${ROWS}`);
  for (
    const [sql, count] of [
      ["UPDATE plain SET a = CAST(a AS INTEGER) WHERE id = 9000", 1],
      ["DELETE FROM plain WHERE id IN (1, 20000)", 3],
      ["INSERT INTO plain VALUES (0, 0, 0), (30000, 0, 0), (-5, 0, 0)", 6],
      ["UPDATE plain SET b = b || char(0) WHERE id BETWEEN 8000 AND 8999", 1006],
    ] as const
  ) {
    tamper(pair.there, sql);
    assert.deepEqual(await pair.differing(), { plain: count }, sql);
  }
});

Deno.test("rows of an empty table, and keys that one collation takes for the same, are compared as they are", async () => {
  await using pair = await Pair.open();
  tamper(
    pair.there,
    `INSERT INTO folded VALUES ('a', 1); INSERT INTO holes VALUES (NULL, 1), (NULL, 1), ('k', 1)`,
  );
  assert.deepEqual(await pair.differing(), { "folded": 1, "holes": 1, "holes (NULL)": 2 });
  tamper(
    pair.here,
    `INSERT INTO folded VALUES ('A', 1); INSERT INTO holes VALUES (NULL, 1), (NULL, 1), ('k', 1)`,
  );
  assert.deepEqual(await pair.differing(), { folded: 1 });
});

Deno.test("a repair gives each row its higher version, on whichever side it is missing", async () => {
  await using pair = await Pair.open();
  await pair.receive({ table: "plain", type: "insert", row: { id: 1n, a: 1n, b: "both" }, ts: LAB_TIME_NS });
  const newer: LabEvent[] = [
    { table: "plain", type: "update", row: { id: 1n, a: 2n, b: "newer" }, ts: LAB_TIME_NS + 1n },
    { table: "holes", type: "insert", row: { k: null, rowid: 7n, a: 1n }, ts: LAB_TIME_NS + 2n },
  ];
  await pair.there.receive(...newer);
  await pair.here.receive({ table: "uniq", type: "insert", row: { id: 1n, u: "x" }, ts: LAB_TIME_NS + 3n });
  await pair.here.receive({ table: "plain", type: "delete", row: { id: 5n }, ts: LAB_TIME_NS + 4n });
  tamper(pair.there, "INSERT INTO plain VALUES (5, 5, 'was deleted'), (6, 6, 'never in a stream')");
  assert.deepEqual(await pair.differing(), { "plain": 3, "holes (NULL)": 1, "uniq": 1 });
  await pair.repair();
  for (const lab of [pair.here, pair.there]) {
    assert.deepEqual(lab.lines("SELECT * FROM plain"), ["1|2|'newer'", "6|6|'never in a stream'"]);
    assert.deepEqual(lab.lines("SELECT holes.rowid, * FROM holes, uniq"), ["7|NULL|1|1|'x'"]);
    assert.deepEqual(lab.captured("plain", "id"), [], "what is repaired is not captured");
  }
  assert.deepEqual(await pair.differing(), {});
});

Deno.test("of two rows with one version the one that its version was made of holds", async () => {
  await using pair = await Pair.open();
  await pair.receive(
    { table: "plain", type: "insert", row: { id: 1n, a: 1n, b: "x" }, ts: LAB_TIME_NS },
    { table: "plain", type: "insert", row: { id: 2n, a: 1n, b: "y" }, ts: LAB_TIME_NS },
  );
  tamper(pair.here, "UPDATE plain SET b = 'damaged' WHERE id = 1");
  tamper(pair.there, "UPDATE plain SET b = 'damaged' WHERE id = 2");
  await pair.repair();
  for (const lab of [pair.here, pair.there]) {
    assert.deepEqual(lab.lines("SELECT * FROM plain"), ["1|1|'x'", "2|1|'y'"]);
  }
});

Deno.test("a deleted row that has come back on one node behind the back of capture goes again", async () => {
  await using pair = await Pair.open();
  await pair.receive({ table: "plain", type: "delete", row: { id: 1n }, ts: LAB_TIME_NS });
  tamper(pair.there, "INSERT INTO plain VALUES (1, 1, 'from the grave')");
  assert.deepEqual(await pair.differing(), { plain: 1 });
  await pair.repair();
  for (const lab of [pair.here, pair.there]) assert.deepEqual(lab.lines("SELECT * FROM plain"), []);
});

Deno.test("a change on its way is no difference, and its row is left alone by a repair", async () => {
  await using pair = await Pair.open();
  await pair.receive({ table: "plain", type: "insert", row: { id: 1n, a: 1n, b: "x" }, ts: 5n });
  pair.here.run("UPDATE plain SET b = 'on its way'");
  const [state] = (await rowsOf(pair.here).states(
    { table: "plain", nulls: false, columns: ["a", "b", "id"], key: ["id"] },
    [new Uint8Array([1])],
    new Map(),
  )).states;
  assert.equal(state!.isOnItsWay, true);
  const { results } = await pair.compare();
  assert.deepEqual(results.map(({ differences, open }) => differences.length + open).filter(Boolean), [1]);
});

Deno.test("a row that was written after it was found different is left alone by the repair", async () => {
  await using pair = await Pair.open();
  const row = (id: bigint, b: string, ts: bigint): LabEvent => ({
    table: "plain",
    type: "insert",
    row: { id, a: 1n, b },
    ts,
  });
  await pair.receive(row(1n, "old", LAB_TIME_NS), row(2n, "old", LAB_TIME_NS + 1n));
  tamper(pair.here, "DELETE FROM plain");
  const { comparison, results } = await pair.compare();
  pair.here.run("INSERT INTO plain VALUES (1, 1, 'on its way')");
  await pair.here.receive(row(2n, "newer", LAB_TIME_NS + 2n));
  for (const result of results) await comparison.repair(result);
  assert.deepEqual(pair.here.lines("SELECT * FROM plain"), ["1|1|'on its way'", "2|1|'newer'"]);
});

Deno.test("a column that the nodes add one after the other, while they are compared, is no difference", async () => {
  await using pair = await Pair.open();
  await pair.receive({ table: "plain", type: "insert", row: { id: 1n, a: 1n, b: "x" }, ts: LAB_TIME_NS });
  const here = rowsOf(pair.here);
  const there = rowsOf(pair.there);
  const { differing, states } = there;
  there.differing = (...ranges) => {
    pair.there.run("ALTER TABLE plain ADD COLUMN c DEFAULT 0");
    there.differing = differing;
    return there.differing(...ranges);
  };
  let looks = 0;
  there.states = (...keys) => {
    if (++looks === 2) pair.here.run("ALTER TABLE plain ADD COLUMN c DEFAULT 0");
    return states.apply(there, keys);
  };
  const comparison = new Comparison(here, there, new AbortController().signal);
  const kind = (await here.kinds()).find(({ table }) => table === "plain")!;
  const { differences, open } = await comparison.compare(kind);
  assert.deepEqual({ differences, open }, { differences: [], open: 0 });
});
