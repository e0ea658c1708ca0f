import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { assertSameContent } from "../support/database.ts";
import { runOldSql } from "../support/old_sqlite.ts";
import { randomStatements, STATEMENT_SCHEMA } from "../support/random_statements.ts";
import { Unfollowed } from "../support/unfollowed.ts";

const seed = Number(Deno.env.get("HARMONYLITE_SEED") ?? Date.now() & 0x7fffffff);
console.log(`HARMONYLITE_SEED=${seed}`);

const SCHEMA = `
  CREATE TABLE numbered (id INTEGER PRIMARY KEY, v);
  CREATE TABLE named (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
  CREATE TABLE pairs (x TEXT, y INTEGER, v, PRIMARY KEY (x, y));
  CREATE TABLE bare (v);
  CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT UNIQUE, nick TEXT COLLATE NOCASE UNIQUE, v);
  CREATE TABLE slots (room TEXT, hour INTEGER, who TEXT, PRIMARY KEY (room, hour)) WITHOUT ROWID;
  CREATE UNIQUE INDEX one_place ON slots (who, hour) WHERE who <> 'nobody';
  CREATE TABLE parents (id INTEGER PRIMARY KEY, code TEXT UNIQUE);
  CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id) ON DELETE CASCADE ON UPDATE CASCADE,
    code TEXT REFERENCES parents (code) ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED);
  CREATE TABLE grandchildren (id INTEGER PRIMARY KEY, child INTEGER DEFAULT 1
    REFERENCES children (id) ON DELETE SET DEFAULT ON UPDATE CASCADE);`;

/** Statements that begin with empty tables; some are meant to fail, and the application goes on. */
const GROUPS: Readonly<Record<string, string>> = {
  "a changed key": `
    INSERT INTO numbered VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four'), (9223372036854775807, 'last');
    UPDATE numbered SET id = 100 WHERE id = 4;
    UPDATE numbered SET id = 2 WHERE id = 1; -- fails
    UPDATE numbered SET id = id - 1 WHERE id < 10;
    UPDATE numbered SET id = id + 1; -- fails in the middle
    UPDATE numbered SET id = -id WHERE id BETWEEN 0 AND 10;
    UPDATE numbered SET id = 1 - id WHERE id < 0;
    BEGIN; UPDATE numbered SET id = -1 WHERE id = 1; UPDATE numbered SET id = 1 WHERE id = 2; UPDATE numbered SET id = 2 WHERE id = -1; COMMIT;
    INSERT INTO named VALUES ('a', 1), ('b', 2), ('c', 3);
    UPDATE named SET k = k || k WHERE k > 'a';
    BEGIN; UPDATE named SET k = 'x' WHERE k = 'a'; UPDATE named SET k = 'a' WHERE k = 'bb'; UPDATE named SET k = 'bb' WHERE k = 'x'; COMMIT;
    UPDATE named SET k = k;
    INSERT INTO pairs VALUES ('p', 1, 'x'), ('p', 2, 'y'), ('q', 1, 'z'), ('q', 3, NULL);
    UPDATE pairs SET x = 'r', y = y + 10 WHERE x = 'q';
    BEGIN; UPDATE pairs SET y = -y; UPDATE pairs SET y = 3 + y WHERE x = 'p'; COMMIT;
    UPDATE pairs SET x = y, y = x; -- the text goes where an integer belongs
    INSERT INTO bare (rowid, v) VALUES (1, 'x'), (2, 'y'), (5, 'z');
    UPDATE bare SET rowid = rowid + 100 WHERE v > 'x'; UPDATE bare SET _rowid_ = -1 WHERE v = 'x';`,
  "a shift of all keys by one that replaces": `
    INSERT INTO numbered VALUES (1, 'one'), (2, 'two'), (3, 'three'), (7, 'seven'); UPDATE OR REPLACE numbered SET id = id + 1;
    INSERT INTO named VALUES ('a', 1), ('ab', 2), ('abb', 3), ('z', 4); UPDATE OR REPLACE named SET k = k || 'b';
    INSERT INTO pairs VALUES ('p', 1, 1), ('p', 2, 2), ('p', 3, 3); UPDATE OR REPLACE pairs SET y = y + 1;
    INSERT INTO bare (rowid, v) VALUES (1, 'x'), (2, 'y'), (3, 'z'); UPDATE OR REPLACE bare SET rowid = rowid + 1;
    INSERT INTO users VALUES (1, 'a', 'A', 1), (2, 'b', 'B', 2), (3, 'c', 'C', 3); UPDATE OR REPLACE users SET id = id + 1;
    UPDATE OR IGNORE users SET id = id + 1; UPDATE OR FAIL users SET id = id - 1;`,
  "OR REPLACE, OR IGNORE, OR FAIL, OR ABORT and OR ROLLBACK": `
    INSERT INTO users VALUES (1, 'a', 'A', 1), (2, 'b', 'B', 2), (3, 'c', 'C', 3), (4, 'd', 'D', 4);
    INSERT OR REPLACE INTO users VALUES (9, 'a', 'b', 'took two'), (4, 'x', 'c', 'took itself and one');
    INSERT OR IGNORE INTO users VALUES (5, 'x', 'E', 'ignored'), (6, 'f', 'F', 'kept');
    INSERT OR FAIL INTO users VALUES (7, 'g', 'G', 'kept'), (8, 'f', 'H', 'fails'), (10, 'i', 'I', 'never');
    INSERT OR ABORT INTO users VALUES (11, 'k', 'K', 'taken back'), (12, 'f', 'L', 'fails');
    BEGIN; INSERT INTO users VALUES (13, 'm', 'M', 'taken back'); INSERT OR ROLLBACK INTO users VALUES (13, 'n', 'N', 1); COMMIT;
    BEGIN; INSERT INTO users VALUES (14, 'o', 'O', 'kept'); INSERT INTO users VALUES (14, 'p', 'P', 1); COMMIT;
    UPDATE OR REPLACE users SET mail = 'g' WHERE id = 6; UPDATE OR IGNORE users SET mail = 'o' WHERE id < 10;
    UPDATE OR FAIL users SET nick = 'same'; UPDATE OR ROLLBACK users SET mail = 'x';
    REPLACE INTO slots VALUES ('red', 9, 'ann'), ('blue', 9, 'nobody'), ('green', 9, 'nobody'), ('blue', 9, 'ann');
    UPDATE OR REPLACE slots SET who = 'ann' WHERE room = 'green'; REPLACE INTO slots VALUES ('green', 9, 'bob');
    REPLACE INTO pairs VALUES ('p', 1, 1), ('p', 2, 2), ('p', 1, 3); REPLACE INTO named VALUES ('k', 1), ('k', 1.0), ('K', 2);`,
  "a REPLACE of a row whose key SQLite chooses": `
    INSERT INTO users VALUES (-1, 'a', 'A', 'minus one'), (-2, 'b', 'B', 'minus two');
    INSERT OR REPLACE INTO users (mail, nick) VALUES ('a', 'new'); REPLACE INTO users (id, mail, nick) VALUES (NULL, 'c', 'b');`,
  "an upsert, also on several UNIQUE indexes": `
    INSERT INTO users VALUES (1, 'a', 'A', 1), (2, 'b', 'B', 2), (3, 'c', 'C', 3);
    INSERT INTO users VALUES (1, 'z', 'Z', 'by id') ON CONFLICT (id) DO UPDATE SET v = excluded.v, mail = excluded.mail;
    INSERT INTO users VALUES (7, 'b', 'Q', 'by mail') ON CONFLICT (mail) DO UPDATE SET v = excluded.v, id = excluded.id;
    INSERT INTO users VALUES (8, 'h', 'c', 'by nick') ON CONFLICT (id) DO NOTHING ON CONFLICT (mail) DO NOTHING
      ON CONFLICT (nick) DO UPDATE SET v = excluded.v, nick = 'cc';
    INSERT INTO users VALUES (1, 'b', 'cc', 'any') ON CONFLICT DO NOTHING;
    INSERT INTO users VALUES (1, 'b', 'r', 'first that fits') ON CONFLICT (mail) DO UPDATE SET v = excluded.v ON CONFLICT DO NOTHING;
    INSERT OR REPLACE INTO users VALUES (30, 'b', 'Z', 'two go') ON CONFLICT (id) DO UPDATE SET v = 'never';
    INSERT OR REPLACE INTO users VALUES (3, 'z', 'y', 'by id') ON CONFLICT (id) DO UPDATE SET mail = 'b', v = 'one goes';
    INSERT INTO named VALUES ('k', 1), ('k', 2), ('l', 1) ON CONFLICT (k) DO UPDATE SET v = v + excluded.v WHERE v < 2;
    INSERT INTO numbered SELECT rowid, k FROM named WHERE true ON CONFLICT (id) DO NOTHING; -- has no rowid: fails
    INSERT INTO pairs SELECT k, v, 'n' FROM named WHERE true ON CONFLICT (x, y) DO UPDATE SET v = 'again';
    INSERT INTO pairs SELECT k, v, 'n' FROM named WHERE true ON CONFLICT (x, y) DO UPDATE SET v = 'again';`,
  "DELETE without WHERE": `
    INSERT INTO numbered VALUES (1, 1), (2, 2); INSERT INTO bare VALUES (1), (2); INSERT INTO named VALUES ('a', 1);
    INSERT INTO users VALUES (1, 'a', 'A', 1), (2, 'b', 'B', 2);
    DELETE FROM numbered; DELETE FROM bare; DELETE FROM named; DELETE FROM users;
    BEGIN; INSERT INTO numbered VALUES (1, 'in between'); DELETE FROM numbered; INSERT INTO numbered VALUES (2, 'after'); COMMIT;
    BEGIN; DELETE FROM numbered; INSERT INTO users VALUES (2, 'a', 'B', 'after'); ROLLBACK;`,
  "cascades of foreign keys": `PRAGMA foreign_keys = ON;
    INSERT INTO parents VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
    INSERT INTO children VALUES (1, NULL, NULL), (10, 1, 'a'), (11, 1, 'b'), (20, 2, 'a'), (30, 3, 'c'), (40, 4, 'd');
    INSERT INTO grandchildren VALUES (100, 10), (101, 11), (200, 20), (300, 30);
    UPDATE parents SET id = 22 WHERE id = 2; UPDATE parents SET code = code || '!' WHERE id > 1;
    DELETE FROM parents WHERE id = 1; UPDATE children SET id = 31 WHERE id = 30;
    REPLACE INTO parents VALUES (3, 'new'); INSERT OR REPLACE INTO parents VALUES (50, 'd!');
    INSERT INTO children VALUES (60, 60, NULL); -- fails
    BEGIN; INSERT INTO children VALUES (70, NULL, 'later'); INSERT INTO parents VALUES (70, 'later'); COMMIT;
    BEGIN; INSERT INTO children VALUES (80, NULL, 'never'); COMMIT; ROLLBACK; -- the COMMIT fails
    DELETE FROM parents WHERE id = 50;`,
  "transactions over several tables, and savepoints that are rolled back": `
    BEGIN; INSERT INTO numbered VALUES (1, 'a'); INSERT INTO named VALUES ('a', 1); INSERT INTO users VALUES (1, 'a', 'A', 1);
    SAVEPOINT one; UPDATE numbered SET v = 'one'; REPLACE INTO users VALUES (2, 'a', 'B', 'one'); DELETE FROM named;
    SAVEPOINT two; INSERT INTO numbered VALUES (2, 'two'); ROLLBACK TO two; INSERT INTO numbered VALUES (3, 'three'); RELEASE two;
    ROLLBACK TO one; INSERT INTO bare VALUES ('kept'); RELEASE one; COMMIT;
    SAVEPOINT outermost; UPDATE numbered SET v = 'kept'; INSERT INTO numbered VALUES (1, 'fails'); RELEASE outermost;
    BEGIN; DELETE FROM users; UPDATE numbered SET id = 5; REPLACE INTO named VALUES ('a', 2); ROLLBACK;
    BEGIN IMMEDIATE; UPDATE users SET v = 1; UPDATE users SET v = 2; UPDATE users SET v = 3; DELETE FROM bare; COMMIT;`,
  "VACUUM": `
    INSERT INTO pairs VALUES ('p', 1, 1), ('p', 2, 2), ('p', 3, 3); INSERT INTO users VALUES (5, 'a', 'A', 1), (7, 'b', 'B', 2);
    DELETE FROM pairs WHERE y = 1; UPDATE users SET v = zeroblob(50000); DELETE FROM users WHERE id = 5;
    VACUUM; UPDATE pairs SET v = v * 10; REPLACE INTO users VALUES (8, 'b', 'C', 3); UPDATE pairs SET y = 9 WHERE y = 3;
    VACUUM; DELETE FROM pairs WHERE y = 9; INSERT INTO pairs VALUES ('p', 1, 'again');`,
  "INSERT from a SELECT, UPDATE from a table, RETURNING, and an UPDATE to what is there": `
    WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 300) INSERT INTO numbered SELECT i, 'n' || i FROM n;
    INSERT INTO numbered SELECT id + 1000, v FROM numbered WHERE id % 3 = 0 RETURNING id, v;
    INSERT INTO bare SELECT v FROM numbered; INSERT INTO bare SELECT v FROM bare WHERE rowid < 10;
    WITH big AS (SELECT id, v FROM numbered WHERE id > 1000) UPDATE numbered SET v = big.v || '!' FROM big
      WHERE big.id = numbered.id + 1000 RETURNING numbered.id, numbered.v;
    INSERT INTO pairs SELECT v, id, NULL FROM numbered LIMIT 50; UPDATE pairs SET v = numbered.id FROM numbered WHERE numbered.v = pairs.x;
    UPDATE numbered SET id = id, v = v; UPDATE pairs SET v = v + 0; UPDATE bare SET v = v WHERE false;
    DELETE FROM numbered WHERE id IN (SELECT y FROM pairs) RETURNING id; DELETE FROM bare WHERE v LIKE 'n1%' RETURNING rowid, v;
    WITH old AS (SELECT max(id) AS id FROM numbered) DELETE FROM numbered WHERE id = (SELECT id FROM old) RETURNING *;`,
};

const TABLES = [
  "numbered",
  "named",
  "pairs",
  "bare",
  "users",
  "slots",
  "grandchildren",
  "children",
  "parents",
];
const PRAGMAS = ["", "PRAGMA recursive_triggers = ON;", "PRAGMA trusted_schema = OFF;"];

Deno.test("every kind of statement leaves on all nodes what it leaves without us", async (t) => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const { dbPath: alone } = await Unfollowed.create(`${cluster.dir}/alone.db`, SCHEMA);
  const clear = TABLES.map((table) => `DELETE FROM ${table};`).join(" ");
  for (const [round, pragma] of PRAGMAS.entries()) {
    for (const [index, [name, statements]] of Object.entries(GROUPS).entries()) {
      await t.step(`${name} ${pragma}`, async () => {
        const node = cluster.node((index + round) % 2 + 1);
        const sql = `${pragma} ${clear} ${statements} SELECT changes(), sqlite_version();
          SELECT rowid, v FROM bare ORDER BY rowid;`;
        const [seen, expected] = [await runOldSql(node.dbPath, sql), await runOldSql(alone, sql)];
        assert.deepEqual(seen, expected);
        await cluster.converge();
        assertSameContent([alone, ...cluster.nodes.map(({ dbPath }) => dbPath)]);
        const rowids = cluster.nodes.map((each) => each.read("SELECT rowid, v FROM bare ORDER BY rowid"));
        assert.deepEqual(rowids[0], rowids[1]);
      });
    }
  }
});

/** What random statements may meet; anything else is our doing. */
const EXPECTED_ERROR =
  /^error: (.* constraint failed.*|cannot (commit|rollback) - no transaction is active|no such savepoint: here)$/;

Deno.test("random statements on three nodes at once, also with rollback journals, leave equal databases", async () => {
  await using cluster = await startCluster(3, {
    schema: STATEMENT_SCHEMA,
    choose: (id) => id === 3 ? { schema: `PRAGMA journal_mode = DELETE; ${STATEMENT_SCHEMA}` } : {},
  });
  const transactions = [120, 120, 40]; // A rollback journal takes several times as long.
  for (const round of [0, 1, 2]) {
    const pragmas = [
      `PRAGMA foreign_keys = ON; ${PRAGMAS[round]}`,
      `${PRAGMAS[round]}`,
      `PRAGMA journal_mode = ${["DELETE", "TRUNCATE", "PERSIST"][round]};`,
    ];
    const seen = await Promise.all(
      cluster.nodes.map(({ dbPath }, at) =>
        runOldSql(dbPath, pragmas[at] + randomStatements(seed + 3 * round + at, transactions[at]!))
      ),
    );
    const errors = seen.flat().filter((line) => line.startsWith("error") && !EXPECTED_ERROR.test(line));
    assert.deepEqual(errors, []);
    await cluster.converge();
  }
});

Deno.test("an application with a rollback journal writes at the same time as its node, and both wait their turn", async () => {
  await using cluster = await startCluster(3, {
    schema: SCHEMA,
    choose: () => ({ schema: `PRAGMA journal_mode = DELETE; ${SCHEMA}` }),
  });
  const rows = (id: number): string[] =>
    Array.from(
      { length: 60 },
      (_, at) =>
        `INSERT INTO numbered VALUES (${
          1000 * id + at
        }, ${id}); UPDATE numbered SET v = v + 10 WHERE id % 60 = ${at};`,
    );
  await Promise.all(cluster.nodes.map(async (node, at) => {
    const mode = ["DELETE", "TRUNCATE", "PERSIST"][at]!;
    const lines = await runOldSql(node.dbPath, `PRAGMA journal_mode = ${mode}; ${rows(at + 1).join("\n")}`);
    assert.deepEqual(lines, [mode.toLowerCase()]);
  }));
  await cluster.converge();
  assert.equal(cluster.node(1).count("SELECT count(*) FROM numbered"), 180);
  for (const node of cluster.nodes) {
    assert.deepEqual(await runOldSql(node.dbPath, "PRAGMA integrity_check;"), ["ok"]);
  }
});
