import assert from "node:assert/strict";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { assertSameContent } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { runOldSql } from "../support/old_sqlite.ts";
import { Unfollowed } from "../support/unfollowed.ts";

Deno.test("an audit table kept by triggers is not doubled, and a counter counts each row once", async () => {
  await using cluster = await startCluster(3, {
    schema: `CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT);
      CREATE TABLE audit (id TEXT PRIMARY KEY DEFAULT (hex(randomblob(16))), item INTEGER, what TEXT);
      CREATE TABLE stats (name TEXT PRIMARY KEY, value INTEGER); INSERT INTO stats VALUES ('items', 0);
      CREATE TRIGGER audit_insert AFTER INSERT ON items BEGIN
        INSERT INTO audit (item, what) VALUES (NEW.id, 'insert');
        UPDATE stats SET value = value + 1 WHERE name = 'items'; END;
      CREATE TRIGGER audit_update AFTER UPDATE ON items BEGIN
        INSERT INTO audit (item, what) VALUES (NEW.id, 'update'); END;
      CREATE TRIGGER audit_delete BEFORE DELETE ON items BEGIN
        INSERT INTO audit (item, what) VALUES (OLD.id, 'delete');
        UPDATE stats SET value = value - 1 WHERE name = 'items'; END;`,
  });
  for (const [index, node] of cluster.nodes.entries()) {
    const id = index * 10;
    await node.sql(
      `INSERT INTO items VALUES (${id}, 'a'), (${id + 1}, 'b'); UPDATE items SET name = 'c' WHERE id = ${id};
      DELETE FROM items WHERE id = ${id + 1};`,
    );
    await cluster.converge();
    assert.equal(node.count("SELECT value FROM stats"), index + 1);
  }
  for (const node of cluster.nodes) {
    assert.equal(node.count("SELECT count(*) FROM audit"), 12);
    assert.equal(node.count("SELECT count(DISTINCT item || what) FROM audit"), 12);
  }
});

Deno.test("a trigger that sets updated_at on the same row gives all nodes the new value, whenever it was made", async () => {
  const trigger = (name: string): string =>
    `CREATE TRIGGER ${name} AFTER UPDATE OF text ON notes BEGIN
       UPDATE notes SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now'), edits = edits + 1 WHERE id = NEW.id; END;`;
  await using cluster = await startCluster(2, {
    schema:
      `CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, updated_at DATETIME, edits INTEGER DEFAULT 0);
      ${trigger("before_ours")}`,
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO notes (id, text) VALUES (1, 'a'), (2, 'b');");
  await cluster.converge();
  await second.sql("UPDATE notes SET text = 'A' WHERE id = 1; UPDATE notes SET text = text || '!';");
  await cluster.converge();
  assert.deepEqual(first.read("SELECT text, edits, updated_at IS NOT NULL FROM notes"), [["A!", 2n, 1n], [
    "b!",
    1n,
    1n,
  ]]);
  // One that is made after our triggers fires before them, or the other way round: neither may matter.
  for (const node of cluster.nodes) await node.sql(`DROP TRIGGER before_ours; ${trigger("after_ours")}`);
  await first.sql("UPDATE notes SET text = 'z' WHERE id = 2;");
  await cluster.converge();
  assert.deepEqual(second.read("SELECT text, edits FROM notes WHERE id = 2"), [["z", 2n]]);
});

Deno.test("a full-text index kept by triggers can be searched on replicas and is sound there", async () => {
  await using cluster = await startCluster(2, {
    schema: `CREATE TABLE docs (id INTEGER PRIMARY KEY, title TEXT, body TEXT);
      CREATE VIRTUAL TABLE docs_index USING fts5(title, body, content = 'docs', content_rowid = 'id');
      CREATE TRIGGER docs_insert AFTER INSERT ON docs BEGIN
        INSERT INTO docs_index (rowid, title, body) VALUES (NEW.id, NEW.title, NEW.body); END;
      CREATE TRIGGER docs_delete AFTER DELETE ON docs BEGIN
        INSERT INTO docs_index (docs_index, rowid, title, body) VALUES ('delete', OLD.id, OLD.title, OLD.body); END;
      CREATE TRIGGER docs_update AFTER UPDATE ON docs BEGIN
        INSERT INTO docs_index (docs_index, rowid, title, body) VALUES ('delete', OLD.id, OLD.title, OLD.body);
        INSERT INTO docs_index (rowid, title, body) VALUES (NEW.id, NEW.title, NEW.body); END;`,
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql(
    `INSERT INTO docs VALUES (1, 'whale', 'a large animal'), (2, 'ant', 'a small animal'), (3, 'oak', 'a tree');`,
  );
  await cluster.converge();
  await second.sql(`UPDATE docs SET body = 'a huge mammal' WHERE id = 1; DELETE FROM docs WHERE id = 2;
    REPLACE INTO docs VALUES (4, 'elm', 'a tree'); UPDATE docs SET id = 30 WHERE id = 3;`);
  await cluster.converge();
  const search = (word: string): string =>
    `SELECT rowid FROM docs_index WHERE docs_index MATCH '${word}' ORDER BY rowid;`;
  for (const node of cluster.nodes) {
    assert.equal(await node.sql(search("mammal")), "1\n");
    assert.equal(await node.sql(search("animal")), "");
    assert.equal(await node.sql(search("tree")), "4\n30\n");
    await node.sql("INSERT INTO docs_index (docs_index, rank) VALUES ('integrity-check', 1);");
  }
});

Deno.test("a trigger that deletes from another table deletes what it did at the origin, and no more", async () => {
  await using cluster = await startCluster(2, {
    schema: `PRAGMA recursive_triggers = ON;
      CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT);
      CREATE TABLE books (id INTEGER PRIMARY KEY, author INTEGER, title TEXT);
      CREATE TRIGGER orphans AFTER DELETE ON authors BEGIN DELETE FROM books WHERE author = OLD.id; END;`,
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql(`INSERT INTO authors VALUES (1, 'one'), (2, 'two');
    INSERT INTO books VALUES (10, 1, 'x'), (11, 1, 'y'), (20, 2, 'z');`);
  await cluster.converge();
  await cluster.nats.kill();
  await first.sql("DELETE FROM authors WHERE id = 1;");
  // Written where the author still was: the origin's trigger never saw it, so it must stay everywhere.
  await second.sql("INSERT INTO books VALUES (12, 1, 'unseen');");
  await cluster.nats.start();
  await cluster.converge();
  for (const node of cluster.nodes) {
    assert.deepEqual(node.read("SELECT id FROM books ORDER BY id").flat(), [12n, 20n]);
    assert.deepEqual(node.read("SELECT id FROM authors").flat(), [2n]);
  }
});

Deno.test("foreign keys with cascades and validating triggers do not stop a replica", async () => {
  await using cluster = await startCluster(2, {
    schema: `CREATE TABLE parents (id INTEGER PRIMARY KEY, limit_ INTEGER);
      CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id) ON DELETE CASCADE);
      CREATE TRIGGER no_more AFTER INSERT ON children
        WHEN (SELECT count(*) FROM children WHERE parent = NEW.parent) > (SELECT limit_ FROM parents WHERE id = NEW.parent)
        BEGIN SELECT RAISE(ABORT, 'too many children'); END;`,
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO parents VALUES (1, 2), (2, 2);");
  await cluster.converge();
  await cluster.nats.kill();
  await first.sql("INSERT INTO children VALUES (10, 1), (11, 1), (12, 2);");
  await second.sql("INSERT INTO children VALUES (20, 1), (21, 1);");
  await cluster.nats.start();
  await cluster.converge();
  assert.equal(first.count("SELECT count(*) FROM children"), 5);
  await second.sql("PRAGMA foreign_keys = ON; DELETE FROM parents WHERE id = 1;");
  await cluster.converge();
  await eventually(
    "the cascade has arrived",
    () => assert.deepEqual(first.read("SELECT id FROM children").flat(), [12n]),
  );
});

const LIMITS = `CREATE TABLE limits (id INTEGER PRIMARY KEY, v, w);
  CREATE TABLE pairs (k TEXT PRIMARY KEY, v) WITHOUT ROWID;`;

/** One for each way to refuse a row, before and after it is written. */
function validations(name: string): string {
  return ["BEFORE", "AFTER"].flatMap((time) =>
    ["ABORT", "FAIL", "ROLLBACK", "IGNORE"].flatMap((way) => {
      const raise = way === "IGNORE" ? "RAISE(IGNORE)" : `RAISE(${way}, '${time} ${way}')`;
      const trigger = (event: string, row: string, table: string): string =>
        `CREATE TRIGGER "${name} ${time} ${event} ${way} ${table}" ${time} ${event} ON ${table}
           WHEN ${row}.v = '${time} ${way}' BEGIN SELECT ${raise}; END;`;
      return ["limits", "pairs"].flatMap((table) => [
        trigger("INSERT", "NEW", table),
        trigger("UPDATE", "NEW", table),
        trigger("DELETE", "OLD", table),
      ]);
    })
  ).join("\n");
}

/** Writes that the triggers of {@link validations} refuse, and others around them. */
function refusedWrites(): string {
  return ["BEFORE", "AFTER"].flatMap((time) =>
    ["ABORT", "FAIL", "ROLLBACK", "IGNORE"].flatMap((way) => {
      const v = `${time} ${way}`;
      return ["INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE", "INSERT OR FAIL"].map((insert) => `
        DELETE FROM limits WHERE v NOT LIKE '%E %' AND v NOT LIKE '%R %'; DELETE FROM pairs;
        ${insert} INTO limits VALUES (1, 'x', 1), (2, '${v}', 2), (3, 'z', 3); ${insert} INTO pairs VALUES ('a', 'x'), ('b', '${v}'), ('c', 'z');
        BEGIN; UPDATE limits SET w = 9; UPDATE limits SET v = '${v}' WHERE id = 1; UPDATE pairs SET v = '${v}', k = k || '!'; COMMIT;
        INSERT OR IGNORE INTO limits VALUES (4, 'w', 4); DELETE FROM limits WHERE id < 4; DELETE FROM pairs WHERE k < 'c';`);
    })
  ).join("\n");
}

/** After a RAISE(IGNORE) no other trigger fires: SQLite begins with the newest. */
function isNewest(node: ClusterNode): boolean {
  const newest = node.read("SELECT max(rowid), name FROM sqlite_schema WHERE type = 'trigger'")[0]!;
  return String(newest[1]).startsWith("__harmonylite__");
}

Deno.test("what validating triggers refuse is refused on no other node, and what they let pass is on all", async () => {
  await using cluster = await startCluster(2, { schema: `${LIMITS} ${validations("early")}` });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  const { dbPath: alone } = await Unfollowed.create(
    `${cluster.dir}/alone.db`,
    `${LIMITS} ${validations("early")}`,
  );
  const early = first.read("SELECT name FROM sqlite_schema WHERE name LIKE 'early %'").flat();
  const remade = `${early.map((name) => `DROP TRIGGER "${name}";`).join("\n")} ${validations("later")}`;
  for (const name of ["early", "later"]) {
    const node = name === "early" ? first : second;
    if (name === "later") {
      for (const dbPath of [alone, first.dbPath, second.dbPath]) {
        assert.deepEqual(await runOldSql(dbPath, remade), []);
      }
      await eventually("the triggers of HarmonyLite are the newest", () => cluster.nodes.every(isNewest));
    }
    const [seen, expected] = [
      await runOldSql(node.dbPath, refusedWrites()),
      await runOldSql(alone, refusedWrites()),
    ];
    assert.deepEqual(seen, expected);
    assert.ok(seen.some((line) => line === "error: AFTER FAIL") && seen.length > 30);
    await cluster.converge();
    assertSameContent([alone, first.dbPath, second.dbPath]);
  }
  // A trigger that only one node has, made while it runs: what passed at its origin passes there.
  await second.sql(
    "CREATE TRIGGER late BEFORE INSERT ON limits BEGIN SELECT RAISE(ABORT, 'no more'); INSERT INTO pairs VALUES (NEW.id, 1); END;",
  );
  await first.sql("INSERT INTO limits VALUES (50, 'passed', 1);");
  await cluster.converge();
  assert.equal(second.count("SELECT count(*) FROM limits WHERE id = 50"), 1);
  await assert.rejects(second.sql("INSERT INTO limits VALUES (51, 'refused', 1);"), /no more/);
});

Deno.test("writes through a view with INSTEAD OF triggers arrive as rows of its tables", async () => {
  await using cluster = await startCluster(2, {
    schema: `CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT);
      CREATE TABLE phones (person INTEGER, number TEXT, PRIMARY KEY (person, number)) WITHOUT ROWID;
      CREATE VIEW directory AS SELECT id, name, number FROM people LEFT JOIN phones ON person = id;
      CREATE TRIGGER directory_insert INSTEAD OF INSERT ON directory BEGIN
        INSERT INTO people VALUES (NEW.id, NEW.name) ON CONFLICT (id) DO UPDATE SET name = excluded.name;
        INSERT INTO phones SELECT NEW.id, NEW.number WHERE NEW.number IS NOT NULL; END;
      CREATE TRIGGER directory_update INSTEAD OF UPDATE ON directory BEGIN
        UPDATE people SET name = NEW.name WHERE id = OLD.id;
        UPDATE phones SET number = NEW.number WHERE person = OLD.id AND number = OLD.number; END;
      CREATE TRIGGER directory_delete INSTEAD OF DELETE ON directory BEGIN
        DELETE FROM phones WHERE person = OLD.id AND number = OLD.number;
        DELETE FROM people WHERE id = OLD.id AND NOT EXISTS (SELECT 1 FROM phones WHERE person = OLD.id); END;`,
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql(
    "INSERT INTO directory VALUES (1, 'ann', '11'), (1, 'Ann', '12'), (2, 'bob', '21'), (3, 'cy', NULL);",
  );
  await cluster.converge();
  await second.sql(
    "UPDATE directory SET number = '0' || number WHERE id < 3; DELETE FROM directory WHERE number = '021' OR id = 3;",
  );
  await cluster.converge();
  assert.deepEqual(first.read("SELECT * FROM directory ORDER BY number"), [[1n, "Ann", "011"], [
    1n,
    "Ann",
    "012",
  ]]);
});

/** Keeps a full-text index and an audit trail, in the same triggers. */
const SEARCHED = `CREATE TABLE docs (id INTEGER PRIMARY KEY, slug TEXT UNIQUE, body TEXT);
  CREATE TABLE trail (id TEXT PRIMARY KEY DEFAULT (hex(randomblob(16))), doc INTEGER, what TEXT);
  CREATE VIRTUAL TABLE docs_index USING fts5 (slug, body, content = 'docs', content_rowid = 'id');
  CREATE TRIGGER docs_insert AFTER INSERT ON docs BEGIN
    INSERT INTO docs_index (rowid, slug, body) VALUES (NEW.id, NEW.slug, NEW.body);
    INSERT INTO trail (doc, what) VALUES (NEW.id, 'insert'); END;
  CREATE TRIGGER docs_delete AFTER DELETE ON docs BEGIN
    INSERT INTO docs_index (docs_index, rowid, slug, body) VALUES ('delete', OLD.id, OLD.slug, OLD.body);
    INSERT INTO trail (doc, what) VALUES (OLD.id, 'delete'); END;
  CREATE TRIGGER docs_update AFTER UPDATE ON docs BEGIN
    INSERT INTO docs_index (docs_index, rowid, slug, body) VALUES ('delete', OLD.id, OLD.slug, OLD.body);
    INSERT INTO docs_index (rowid, slug, body) VALUES (NEW.id, NEW.slug, NEW.body);
    INSERT INTO trail (doc, what) VALUES (NEW.id, 'update'); END;`;

Deno.test("a full-text index is sound on all nodes after conflicts, REPLACE and UNIQUE values that change hands", async () => {
  await using cluster = await startCluster(3, { schema: SEARCHED });
  await cluster.node(1).sql(
    "INSERT INTO docs VALUES (1, 'one', 'shared start'), (2, 'two', 'shared start'), (3, 'three', 'shared start'), (4, 'four', 'kept');",
  );
  await cluster.converge();
  let trail = 4;
  for (const round of [1, 2]) {
    if (round === 1) await cluster.nats.kill();
    await Promise.all(cluster.nodes.map(async (node, at) => {
      // Without recursive triggers REPLACE would leave the index of its own node unsound, with us or without.
      const lines = await runOldSql(
        node.dbPath,
        `PRAGMA recursive_triggers = ON;
         UPDATE docs SET body = 'node ${at} round ${round}' WHERE id = 1; REPLACE INTO docs VALUES (2, 'two', 'replaced ${at}');
         INSERT OR IGNORE INTO docs VALUES (${100 * round + at}, 'claimed ${round}', 'claimed by ${at}');
         REPLACE INTO docs VALUES (${
          200 * round + at
        }, 'three', 'took three ${at}'); DELETE FROM docs WHERE id = ${at === 1 ? 4 : 0};
         SELECT count(*) FROM trail;`,
      );
      assert.deepEqual(lines.length, 1);
      if (round === 1) assert.equal(Number(lines[0]), trail + (at === 1 ? 7 : 6));
    }));
    if (round === 1) await cluster.nats.start();
    await cluster.converge();
    trail = cluster.node(1).count("SELECT count(*) FROM trail");
    if (round === 1) assert.equal(trail, 4 + 6 + 7 + 6);
    const words = ["shared", "node", "replaced", "claimed", "three", "kept"];
    const found = await Promise.all(cluster.nodes.map(async ({ dbPath }) =>
      await runOldSql(
        dbPath,
        `INSERT INTO docs_index (docs_index, rank) VALUES ('integrity-check', 1);
         ${
          words.map((word) =>
            `SELECT '${word}', rowid FROM docs_index WHERE docs_index MATCH '${word}' ORDER BY rowid;`
          ).join("\n")
        }`,
      )
    ));
    const expected = words.flatMap((word) =>
      cluster.node(1).read(
        "SELECT ?1, id FROM docs WHERE slug || ' ' || body LIKE '%' || ?1 || '%' ORDER BY id",
        word,
      )
        .map((row) => row.join("|"))
    );
    for (const lines of found) assert.deepEqual(lines, expected);
  }
});
