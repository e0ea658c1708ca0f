import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { assertSameContent } from "../support/database.ts";
import { OLD_SQLITE_VERSION, runOldSql } from "../support/old_sqlite.ts";
import { randomStatements, STATEMENT_SCHEMA } from "../support/random_statements.ts";
import { Unfollowed } from "../support/unfollowed.ts";

const seed = Number(Deno.env.get("HARMONYLITE_SEED") ?? Date.now() & 0x7fffffff);
console.log(`HARMONYLITE_SEED=${seed}`);

Deno.test("an application with SQLite 3.35 sees of a followed database what it would see without us", async () => {
  await using cluster = await startCluster(2, { schema: STATEMENT_SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  const { dbPath: alone } = await Unfollowed.create(`${cluster.dir}/alone.db`, STATEMENT_SCHEMA);
  assert.deepEqual(await runOldSql(first.dbPath, "SELECT sqlite_version();"), [OLD_SQLITE_VERSION]);
  for (const [round, node] of [first, second, first].entries()) {
    const pragmas = ["foreign_keys = ON", "recursive_triggers = ON", "trusted_schema = OFF"].slice(
      0,
      3 - round,
    );
    const sql = `${pragmas.map((pragma) => `PRAGMA ${pragma};`).join("\n")}
      ${randomStatements(seed + round, 300)} SELECT changes(); SELECT rowid, * FROM bare ORDER BY rowid;`;
    const [seen, expected] = [await runOldSql(node.dbPath, sql), await runOldSql(alone, sql)];
    assert.deepEqual(seen, expected);
    await cluster.converge();
    assertSameContent([alone, first.dbPath, second.dbPath]);
  }
});
