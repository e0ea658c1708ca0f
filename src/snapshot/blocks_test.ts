import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { makeTempDir } from "../../tests/support/temp.ts";
import { Database } from "../sqlite/database.ts";
import { Blocks, type BlockSource } from "./blocks.ts";

/** Each differs from each other in type or bytes. */
const VALUES = [
  ...["NULL", "0", "1", "-1", "9007199254740992", "9007199254740993", "9223372036854775807"],
  ...[
    "1.0",
    "-1.0",
    "0.1",
    "0.10000000000000002",
    "9007199254740992.0",
    "9e999",
    "-9e999",
    "5e-324",
    "1e300",
  ],
  ...["''", "'1'", "'1.0'", "'n'", "'NULL'", "'t1:1'", "'1,'", "'a'", "'A'", "'ä'", "'💡'", "'a' || char(0)"],
  ...["'a' || char(0) || 'b'", "CAST(x'61ff' AS TEXT)", "CAST(x'61fe' AS TEXT)", "CAST(x'00d8' AS TEXT)"],
  ...[
    "x''",
    "x'00'",
    "x'31'",
    "x'61'",
    "x'61ff'",
    "x'61fe'",
    "x'00d8'",
    "x'01d8'",
    "x'00d800dc'",
    "zeroblob(9)",
  ],
];
/** Not told to be equal, so that each row is looked at: 0.0 and -0.0 are one to SQL, and long values take memory. */
const UNTOLD = ["0.0", "zeroblob(70000)"];
const SOURCE: BlockSource = {
  from: "t AS row WHERE 1",
  columns: ["a", "b", "id"].map((name) => ({ name, type: "", sql: `row.${name}` })),
  key: ["row.id"],
};

for (const encoding of ["UTF-8", "UTF-16le"]) {
  Deno.test(`blocks are equal only if type and bytes of all values are, in ${encoding}`, async () => {
    await using folder = await makeTempDir();
    const values = [...VALUES, ...UNTOLD];
    const open = (name: string): { blocks: Blocks; put: (row: string) => void } & Disposable => {
      const db = new DatabaseSync(folder.file(name));
      db.exec(`PRAGMA encoding = '${encoding}'; PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL;
        CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE TABLE v (at INTEGER PRIMARY KEY, value)`);
      values.forEach((value, at) => db.exec(`INSERT INTO v VALUES (${at}, ${value})`));
      const database = Database.open(folder.file(name));
      return {
        blocks: new Blocks(database, SOURCE),
        put: (row) => db.exec(`INSERT OR REPLACE INTO t VALUES (1, ${row})`),
        [Symbol.dispose]: () => [database, db].forEach((each) => each.close()),
      };
    };
    using ours = open("ours.db");
    using theirs = open("theirs.db");
    const equal = async (one: string, other: string): Promise<boolean> => {
      theirs.put(one);
      ours.put(other);
      return await theirs.blocks.areIn(ours.blocks, await theirs.blocks.next(undefined));
    };
    const of = (at: number): string => `(SELECT value FROM v WHERE at = ${at})`;
    for (const [at, value] of values.entries()) {
      for (const [otherAt, other] of values.entries()) {
        const isEqual = at === otherAt && VALUES.includes(value);
        assert.equal(await equal(`${of(at)}, 'x'`, `${of(otherAt)}, 'x'`), isEqual, `${value} and ${other}`);
      }
    }
    assert.equal(await equal("'ab', 'c'", "'a', 'bc'"), false);
    assert.equal(await equal("x'6162', x'63'", "x'61', x'6263'"), false);
    assert.equal(await equal("'at:b', 'c'", "'a', 'bt:c'"), false);
    assert.equal(await equal("1, 23", "12, 3"), false);
    assert.equal(await equal("NULL, 'x'", "'x', NULL"), false);
  });
}

Deno.test("the same bytes under another column name are no equal block", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("t.db");
  using application = new DatabaseSync(path);
  application.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 2, 3)");
  using database = Database.open(path);
  const blocks = new Blocks(database, SOURCE);
  const renamed = SOURCE.columns.map((column) => ({ ...column, name: `${column.name}2` }));
  const block = await blocks.next(undefined);
  assert.equal(await blocks.areIn(new Blocks(database, SOURCE), block), true);
  assert.equal(await blocks.areIn(new Blocks(database, { ...SOURCE, columns: renamed }), block), false);
});

Deno.test("blocks leave out no row, however unlike the sizes of rows are", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("t.db");
  using application = new DatabaseSync(path);
  application.exec(`PRAGMA synchronous = OFF; CREATE TABLE t (id INTEGER PRIMARY KEY, a, b);
    WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 6000)
    INSERT INTO t SELECT i, 'x', zeroblob(iif(i BETWEEN 4000 AND 4100, 50000, i % 7)) FROM n`);
  using database = Database.open(path);
  using other = Database.open(path);
  const [theirs, ours] = [new Blocks(database, SOURCE), new Blocks(other, SOURCE)];
  const sizes: number[] = [];
  let block = await theirs.next(undefined);
  for (;; block = await theirs.next(block.upTo)) {
    assert.equal(await theirs.areIn(ours, block), true);
    sizes.push(block.rows);
    if (block.upTo === undefined) break;
  }
  const before = sizes.slice(0, -1).reduce((sum, rows) => sum + rows, 0);
  assert.ok(before <= 6000 && before + sizes.at(-1)! > 6000, String(sizes));
  assert.ok(sizes.includes(1) && sizes.includes(1024), "as many rows as make a good block");
});
