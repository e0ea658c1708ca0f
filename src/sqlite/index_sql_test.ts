import assert from "node:assert/strict";
import { parseIndexSql } from "./index_sql.ts";

Deno.test("terms are cut at their commas, not at those inside them", () => {
  assert.deepEqual(parseIndexSql("CREATE UNIQUE INDEX i ON t (a, substr(b, 1, 2), (c || ',') , d)"), {
    terms: ["a", "substr(b, 1, 2)", "(c || ',')", "d"],
    where: undefined,
  });
});

Deno.test("order and collation are no part of a term", () => {
  assert.deepEqual(
    parseIndexSql(`CREATE UNIQUE INDEX i ON t (a COLLATE NOCASE DESC, lower(b) ASC, c collate "rtrim")`)
      .terms,
    ["a", "lower(b)", "c"],
  );
});

Deno.test("the condition of a partial index is all that follows WHERE", () => {
  assert.equal(
    parseIndexSql("CREATE UNIQUE INDEX i ON t(a) WHERE b IS NOT NULL AND c IN (1, 2)").where,
    "b IS NOT NULL AND c IN (1, 2)",
  );
});

Deno.test("brackets, commas and words in quotes and comments mean nothing", () => {
  const { terms, where } = parseIndexSql(
    `CREATE UNIQUE INDEX "i (" ON "t,)" /* ( , */ ("a,b", [c)d], \`e where\`, 'it''s)' || f -- , x
      ) where "where" = ')'`,
  );
  assert.deepEqual(terms, [`"a,b"`, "[c)d]", "`e where`", "'it''s)' || f"]);
  assert.equal(where, `"where" = ')'`);
});
