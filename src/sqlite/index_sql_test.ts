import assert from "node:assert/strict";
import { parseIndexSql } from "./index_sql.ts";

const COLUMNS = ["a", "b", "c", "desc", "Größe", "where"];

function termsOf(terms: string): string[] {
  return parseIndexSql(`CREATE UNIQUE INDEX i ON t (${terms})`, COLUMNS).terms.map(({ sql }) => sql);
}

function whereOf(condition: string): { sql: string; columns: readonly string[] } {
  return parseIndexSql(`CREATE UNIQUE INDEX i ON t (a) WHERE ${condition}`, COLUMNS).where!;
}

Deno.test("terms are cut at their commas, not at those inside them", () => {
  const terms = ["a", "substr(b, 1, 2)", "(c || ',')", "b"];
  assert.deepEqual(termsOf(terms.join(" , ")), terms);
});

Deno.test("the order is no part of a term, its collation is, and a column may be called like an order", () => {
  assert.deepEqual(
    termsOf(`a COLLATE NOCASE DESC, lower(b) ASC, c collate "rtrim" asc, desc, a || desc, desc DESC, -desc`),
    [
      "a COLLATE NOCASE",
      "lower(b)",
      "c collate 'rtrim'",
      "desc",
      "a || desc",
      "desc",
      "-desc",
    ],
  );
});

Deno.test("the condition of a partial index is all that follows WHERE", () => {
  assert.deepEqual(whereOf("b IS NOT NULL AND c IN (1, 2)"), {
    sql: "b IS NOT NULL AND c IN (1, 2)",
    columns: ["b", "c"],
  });
  assert.equal(parseIndexSql("CREATE UNIQUE INDEX i ON t(a)", COLUMNS).where, undefined);
});

Deno.test("brackets, commas and words in quotes and comments mean nothing", () => {
  const { terms, where } = parseIndexSql(
    `CREATE UNIQUE INDEX "i (" ON "t,)" /* ( , */ ("a,b", [c)d], \`e where\`, 'it''s)' || f -- , x
      ) where "where" = ')' -- the end`,
    [...COLUMNS, "a,b"],
  );
  assert.deepEqual(terms.map(({ sql }) => sql), [`"a,b"`, "[c)d]", "`e where`", "'it''s)' || f"]);
  assert.deepEqual(where, { sql: `"where" = ')'`, columns: ["where"] });
});

Deno.test("columns are named in any case and any quotes, and nothing else is taken for one", () => {
  assert.deepEqual(whereOf(`"A" > 'b' AND [größe] > x'0c' AND Größe IN (1e5, .5, 0x0c) AND length(\`B\`)`), {
    sql: `"A" > 'b' AND [größe] > x'0c' AND Größe IN (1e5, .5, 0x0c) AND length(\`B\`)`,
    columns: ["a", "Größe", "b"],
  });
});

Deno.test("the table's name before a column goes, a point in a number stays", () => {
  assert.equal(
    whereOf(`t.a > 1.5 AND main . "t" . b < .5e-1 AND "T"."c" = 'x.y'`).sql,
    `a > 1.5 AND b < .5e-1 AND "c" = 'x.y'`,
  );
});

Deno.test("a text in double quotes is one, unless a column or a function is called so", () => {
  assert.equal(
    whereOf(`"a" = "it's ""on""" AND "lower"("b") = "x"`).sql,
    `"a" = 'it''s "on"' AND "lower"("b") = 'x'`,
  );
});
