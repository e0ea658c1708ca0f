import assert from "node:assert/strict";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

Deno.test("tables with composite keys, no key, WITHOUT ROWID, STRICT and generated columns are replicated", async () => {
  const odd = `"it's ""odd"" [here]"`;
  const schema = `
    CREATE TABLE composite (a TEXT, b INTEGER, value TEXT, PRIMARY KEY (a, b));
    CREATE TABLE keyless (rowid TEXT, value REAL);
    CREATE TABLE compact (name TEXT, part BLOB, value, PRIMARY KEY (name, part)) WITHOUT ROWID;
    CREATE TABLE nullable (key TEXT PRIMARY KEY, value);
    CREATE TABLE caseless (name TEXT COLLATE NOCASE PRIMARY KEY, value);
    CREATE TABLE computed (id INTEGER PRIMARY KEY, a INTEGER, twice INTEGER AS (a * 2) STORED, thrice AS (a * 3),
      more AS (a + 1) UNIQUE);
    CREATE INDEX by_thrice ON computed (thrice); CREATE UNIQUE INDEX by_twice ON computed (twice + 1);
    CREATE TABLE strict_any (k ANY PRIMARY KEY, v ANY, i INT, r REAL, t TEXT, b BLOB) STRICT;
    CREATE TABLE strict_compact (v ANY, k ANY PRIMARY KEY, n ANY AS (k) STORED) STRICT, WITHOUT ROWID;
    CREATE TABLE ${odd} ("the key" TEXT PRIMARY KEY, "select" INTEGER, "a ""b""" TEXT, 'it''s', "größe" REAL, [x y]);`;
  await using cluster = await startCluster(3, { schema });
  await cluster.node(1).sql(`
    INSERT INTO composite VALUES ('x', 1, 'one'), ('x', 2, 'two'), ('y', 1, 'three');
    INSERT INTO keyless VALUES ('same', 1), ('same', 1), ('other', 2), (NULL, NULL);
    INSERT INTO compact VALUES ('n', x'00', 1), ('n', x'', 2.5), ('', x'ff', 'text');
    INSERT INTO nullable VALUES (NULL, 'null'), ('k', 'k');
    INSERT INTO caseless VALUES ('Anna', 1), ('bob', 2);
    INSERT INTO computed (id, a) VALUES (1, 10), (2, 20), (3, 30), (4, 40);
    INSERT INTO strict_any VALUES (1, '007', 1, 1, '1', x'01'), ('1', 1.0, NULL, NULL, NULL, NULL),
      (x'31', '1', 2, 2.5, '', x''), (2.5, 2, 3, 3, '3', x'00');
    INSERT INTO strict_compact (k, v) VALUES (1, '007'), ('1', 1.0), (2.5, x'');
    INSERT INTO ${odd} VALUES ('k', 1, 'a', 'its', 1.5, 'xy'), ('k''"', 2, '', NULL, NULL, x'01');`);
  await cluster.converge();
  await cluster.node(2).sql(`
    UPDATE composite SET value = 'zwei' WHERE a = 'x' AND b = 2; DELETE FROM composite WHERE a = 'y';
    UPDATE keyless SET value = value + 1 WHERE rowid = 'other'; DELETE FROM keyless WHERE _rowid_ = 1;
    UPDATE compact SET value = NULL WHERE part = x'00'; DELETE FROM compact WHERE name = '';
    UPDATE nullable SET value = 'NULL' WHERE key IS NULL;
    UPDATE caseless SET value = 3, name = 'ANNA' WHERE name = 'anna';
    UPDATE computed SET a = 11 WHERE id = 1; REPLACE INTO computed (id, a) VALUES (9, 20);
    UPDATE OR REPLACE computed SET a = 40 WHERE id = 3;
    UPDATE strict_any SET v = '08', k = 'moved' WHERE k = 1; DELETE FROM strict_any WHERE k = '1';
    UPDATE strict_compact SET k = '2', v = k WHERE k = 2.5;
    UPDATE ${odd} SET "select" = 3, "größe" = 2, 'it''s' = 'its' WHERE "the key" = 'k';
    DELETE FROM ${odd} WHERE "the key" = 'k''"';`);
  await cluster.converge();
  const third = cluster.node(3);
  assert.deepEqual(third.read(`SELECT "select", "größe" FROM ${odd}`), [[3n, 2]]);
  assert.deepEqual(third.read("SELECT name, value FROM caseless ORDER BY value"), [["bob", 2n], [
    "ANNA",
    3n,
  ]]);
  assert.deepEqual(third.read("SELECT a, twice, thrice FROM computed WHERE id = 1"), [[11n, 22n, 33n]]);
  assert.deepEqual(third.read("SELECT id, more FROM computed ORDER BY id"), [[1n, 12n], [3n, 41n], [
    9n,
    21n,
  ]]);
  assert.deepEqual(third.read("SELECT typeof(k), v FROM strict_any WHERE v = '08'"), [["text", "08"]]);
  assert.deepEqual(third.read("SELECT typeof(n), typeof(v) FROM strict_compact WHERE k = '2'"), [[
    "text",
    "real",
  ]]);
  assert.equal(third.count("SELECT count(*) FROM keyless"), 3);
  assert.equal(third.count("SELECT count(*) FROM nullable"), 2);
});

Deno.test("a changed primary key leaves no ghost of the old row", async () => {
  const schema =
    `CREATE TABLE a (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE b (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
    CREATE TABLE c (x, y, v, PRIMARY KEY (x, y)); CREATE TABLE d (v TEXT);`;
  await using cluster = await startCluster(2, { schema });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql(
    `INSERT INTO a VALUES (1, 'one'), (2, 'two'), (3, 'three'); INSERT INTO b VALUES ('a', 1), ('b', 2);
    INSERT INTO c VALUES (1, 1, 'v'), (1, 2, 'w'); INSERT INTO d VALUES ('r'), ('s');`,
  );
  await cluster.converge();
  await second.sql(
    `UPDATE a SET id = id + 100; UPDATE b SET k = k || k WHERE k = 'a'; UPDATE c SET y = y + 10;
    UPDATE d SET rowid = rowid + 5;`,
  );
  await cluster.converge();
  await first.sql(`UPDATE a SET id = 1 WHERE id = 101; UPDATE OR REPLACE a SET id = 102 WHERE id = 103;
    BEGIN; UPDATE b SET k = 'tmp' WHERE k = 'aa'; UPDATE b SET k = 'aa' WHERE k = 'b'; UPDATE b SET k = 'b' WHERE k = 'tmp'; COMMIT;`);
  await cluster.converge();
  assert.deepEqual(second.read("SELECT id, v FROM a ORDER BY id"), [[1n, "one"], [102n, "three"]]);
  assert.deepEqual(second.read("SELECT k, v FROM b ORDER BY k"), [["aa", 2n], ["b", 1n]]);
  assert.deepEqual(second.read("SELECT rowid, v FROM d ORDER BY 1"), [[6n, "r"], [7n, "s"]]);
});

Deno.test("tables without a key are followed by whichever name of the rowid is free, through VACUUM too", async () => {
  const schema =
    `CREATE TABLE plain (x, y); CREATE TABLE a (rowid TEXT, x); CREATE TABLE b (_rowid_, ROWID, x);
    CREATE TABLE c (oid, rowid, x); CREATE TABLE "it's ""d""" (x); CREATE TABLE indexed (x); CREATE INDEX i ON indexed (x);
    CREATE TABLE hidden (rowid, _rowid_, oid, x); CREATE TABLE hidden_with_key (rowid TEXT PRIMARY KEY, _rowid_, oid, x);`;
  await using cluster = await startCluster(2, { schema });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  const aliases = {
    plain: "rowid",
    a: "oid",
    b: "oid",
    c: "_rowid_",
    [`"it's ""d"""`]: "_rowid_",
    indexed: "rowid",
  };
  const rows = (node: ClusterNode): unknown[][][] =>
    Object.entries(aliases).map(([table, alias]) => node.read(`SELECT ${alias}, x FROM ${table} ORDER BY 1`));
  const each = (statement: (table: string, alias: string) => string): string =>
    Object.entries(aliases).map(([table, alias]) => `${statement(table, alias)};`).join("\n");
  await first.sql(
    each((table, alias) =>
      `INSERT INTO ${table} (x) VALUES (1), (2), (3), (4); INSERT INTO ${table} (${alias}, x) VALUES (-5, 'low'), (9223372036854775807, 'high')`
    ) + "INSERT INTO hidden VALUES (1, 2, 3, 4); INSERT INTO hidden_with_key VALUES ('k', 1, 2, 3);",
  );
  await eventually("all rows are there", () => assert.deepEqual(rows(second), rows(first)));
  await second.sql(each((table) => `DELETE FROM ${table} WHERE x IN (1, 3)`) + "VACUUM;");
  await first.sql(each((table, alias) => `UPDATE ${table} SET ${alias} = 40 WHERE x = 4`));
  await second.sql("PRAGMA auto_vacuum = FULL; VACUUM;");
  await second.sql(each((table) => `UPDATE ${table} SET x = 'two' WHERE x = 2`) + "VACUUM;");
  const expected = [[-5n, "low"], [2n, "two"], [40n, 4n], [9223372036854775807n, "high"]];
  for (const node of cluster.nodes) {
    await eventually("the same rows have the same rowids", () => {
      for (const table of rows(node)) assert.deepEqual(table, expected);
    });
    await node.process.waitForLog(
      /Table is not replicated table=hidden reason=.* hide every name of the rowid/,
    );
  }
  assert.deepEqual(second.read("SELECT * FROM hidden_with_key"), [["k", 1n, 2n, 3n]]);
  assert.equal(second.count("SELECT count(*) FROM hidden"), 0);
  // The index that keeps rowids is in nobody's way.
  await first.sql(
    `ALTER TABLE plain DROP COLUMN y; ALTER TABLE plain RENAME TO renamed; CREATE TABLE plain (x);
    INSERT INTO plain VALUES (1);`,
  );
  await first.process.waitForLog(/Triggers installed .*renamed/);
  await first.sql("DELETE FROM renamed WHERE x = 4; VACUUM;");
  assert.deepEqual(first.read("SELECT rowid FROM renamed").flat(), [-5n, 2n, 9223372036854775807n]);
  await using cleanup = first.command(["cleanup", "--all", "--discard-pending"]);
  assert.equal(await cleanup.exited, 0);
  assert.deepEqual(
    first.read("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL").flat(),
    ["i"],
  );
});

Deno.test("what a REPLACE displaces through a UNIQUE index goes on all nodes", async () => {
  const schema =
    `CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT UNIQUE, nick TEXT COLLATE NOCASE UNIQUE, v);
    CREATE TABLE slots (room TEXT, hour INTEGER, who TEXT, PRIMARY KEY (room, hour)) WITHOUT ROWID;
    CREATE UNIQUE INDEX one_place ON slots (who, hour) WHERE who <> 'nobody';`;
  await using cluster = await startCluster(3, { schema });
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  await first.sql(
    `INSERT INTO users VALUES (1, 'a@x', 'A', 1), (2, 'b@x', 'B', 2), (3, 'c@x', 'C', 3), (4, 'd@x', 'D', 4);
    INSERT INTO slots VALUES ('red', 9, 'ann'), ('blue', 9, 'nobody'), ('red', 10, 'bob'), ('green', 9, 'nobody');`,
  );
  await cluster.converge();
  await second.sql(`INSERT OR REPLACE INTO users VALUES (9, 'a@x', 'b', 'took two');
    UPDATE OR REPLACE users SET mail = 'c@x' WHERE id = 4;
    INSERT OR IGNORE INTO users VALUES (5, 'c@x', 'E', 'ignored');
    INSERT INTO users VALUES (6, 'c@x', 'F', 'upsert') ON CONFLICT (mail) DO UPDATE SET v = excluded.v;
    REPLACE INTO slots VALUES ('blue', 9, 'ann');`);
  await cluster.converge();
  for (const node of [first, third]) {
    assert.deepEqual(node.read("SELECT id, v FROM users ORDER BY id"), [[4n, "upsert"], [9n, "took two"]]);
    assert.deepEqual(node.read("SELECT room FROM slots WHERE hour = 9 ORDER BY room"), [["blue"], ["green"]]);
  }
});

Deno.test("two nodes that claim one UNIQUE value at once agree on who has it", async () => {
  await using cluster = await startCluster(3, {
    schema: "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT UNIQUE, v INTEGER);",
  });
  await cluster.nats.kill();
  for (const node of cluster.nodes) {
    const id = node.options.nodeId;
    await node.sql(
      `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 50)
       INSERT INTO users SELECT ${id} * 1000 + i, 'mail ' || i, ${id} FROM n;`,
    );
  }
  await cluster.nats.start();
  await cluster.converge();
  assert.equal(cluster.node(1).count("SELECT count(*) FROM users"), 50);
});
