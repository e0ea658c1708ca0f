import assert from "node:assert/strict";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { assertSameContent, createDatabase, dumpSql } from "../support/database.ts";
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
  // All on one node: where a key is no rowid, rowids differ from node to node, and with them the order of rows.
  for (const round of [0, 1, 2]) {
    const pragmas = ["foreign_keys = ON", "recursive_triggers = ON", "trusted_schema = OFF"].slice(
      0,
      3 - round,
    );
    const sql = `${pragmas.map((pragma) => `PRAGMA ${pragma};`).join("\n")}
      ${randomStatements(seed + round, 300)} SELECT changes(); SELECT rowid, * FROM bare ORDER BY rowid;`;
    const [seen, expected] = [await runOldSql(first.dbPath, sql), await runOldSql(alone, sql)];
    assert.deepEqual(seen, expected);
    await cluster.converge();
    assertSameContent([alone, first.dbPath, second.dbPath]);
  }
});

const NOTES = `CREATE TABLE notes (id INTEGER PRIMARY KEY, text, author);
  CREATE TABLE tags (name TEXT PRIMARY KEY, note INTEGER, place INTEGER, UNIQUE (note, place));
  CREATE TABLE counts (day TEXT, hour INTEGER, value REAL, PRIMARY KEY (day, hour)) WITHOUT ROWID;`;

/** What one application writes, with no statement that may fail. */
function notesOf(author: string, first: number): string {
  return `INSERT INTO notes VALUES (${first}, 'new', '${author}'), (${first + 1}, 'more', '${author}');
    UPDATE notes SET text = text || '!', author = '${author}' WHERE id IN (1, ${first});
    DELETE FROM notes WHERE id = 2; REPLACE INTO notes VALUES (3, 'replaced', '${author}');
    REPLACE INTO tags VALUES ('tag ${first}', 1, 1), ('${author}', ${first}, 2); UPDATE OR REPLACE tags SET place = 3;
    INSERT INTO counts VALUES ('today', 1, ${first}.5) ON CONFLICT (day, hour) DO UPDATE SET value = excluded.value;
    UPDATE notes SET id = id + 1000 WHERE id = ${first + 1};`;
}

/** Dumps the database of a stopped node to SQL text and makes it anew from that, with the triggers that we put there. */
async function dumpAndReload({ dbPath }: ClusterNode, emptied: boolean): Promise<void> {
  const text = await dumpSql(dbPath);
  for (const suffix of ["", "-wal", "-shm"]) await Deno.remove(dbPath + suffix).catch(() => {}); // The last to close it has removed the other two.
  await createDatabase(dbPath, text);
  if (!emptied) return;
  const tables = await runOldSql(
    dbPath,
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '\\_\\_harmonylite%' ESCAPE '\\';",
  );
  assert.ok(tables.length > 10);
  assert.deepEqual(await runOldSql(dbPath, tables.map((name) => `DELETE FROM "${name}";`).join("\n")), []);
}

for (const emptied of [true, false]) {
  const how = emptied ? "with our tables emptied" : "with our tables as they were";
  Deno.test(`a database that was dumped and loaded again, ${how}, is written to and replicated as before`, async () => {
    await using cluster = await startCluster(2, { schema: NOTES });
    const [first, second] = [cluster.node(1), cluster.node(2)];
    assert.deepEqual(await runOldSql(first.dbPath, notesOf("first", 1)), []);
    // A wall clock that is a minute ahead.
    await second.sql(`UPDATE __harmonylite___clock SET ts = ts + 60000000000; ${notesOf("second", 10)}`);
    await cluster.converge();
    assert.equal(await first.stop(), 0);
    await dumpAndReload(first, emptied);
    assert.deepEqual(await runOldSql(first.dbPath, notesOf("offline", 20)), []);
    await second.sql(notesOf("meanwhile", 30));
    await first.start();
    await cluster.converge();
    assert.deepEqual(
      second.read("SELECT id, author FROM notes WHERE id >= 20 AND id < 1000 OR id > 1020 ORDER BY id"),
      [[20n, "offline"], [30n, "meanwhile"], [1021n, "offline"], [1031n, "meanwhile"]],
    );
    for (const [index, node] of [first, second, first].entries()) {
      const author = `writer ${index}`;
      assert.deepEqual(await runOldSql(node.dbPath, notesOf(author, 40 + 10 * index)), []);
      await cluster.converge();
      // It has seen the others' writes, so its own is above them.
      assert.deepEqual(first.read("SELECT author FROM notes WHERE id IN (1, 3)"), [[author], [author]]);
    }
  });
}
