import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";
import { ArrivingRows } from "./arriving_rows.ts";
import { isCarried, selectClashing, selectClashingWithArriving } from "./row_sql.ts";

Deno.test("clashes are looked up in the index itself, however it is declared", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER, g AS (a || b), UNIQUE (b, a COLLATE NOCASE));
     CREATE UNIQUE INDEX expression ON t (lower(a) COLLATE NOCASE, b DESC);
     CREATE UNIQUE INDEX inner_collation ON t (a || b COLLATE NOCASE);
     CREATE UNIQUE INDEX partial ON t (a) WHERE b = 1; CREATE UNIQUE INDEX generated ON t (g)`,
  );
  new ArrivingRows(lab.database).use(lab.schema.current);
  const table = lab.schema.current.tables.get("t")!;
  const options = { table, columns: ["a", "b", "id"], raw: new Set<number>() };
  const plans = table.uniques.map((index) => {
    const select = isCarried(index, options.columns) ? selectClashing : selectClashingWithArriving;
    const rows = lab.database.all(`EXPLAIN QUERY PLAN ${select(options, table, index)}`, "x", 1n, 1n);
    return String(rows.find((row) => String(row[3]).includes(" row "))![3]);
  });
  assert.equal(plans.length, 5);
  for (const plan of plans) assert.match(plan, /^SEARCH row USING (COVERING )?INDEX/);
  assert.equal(new Set(plans).size, 5, plans.join("\n"));
});
