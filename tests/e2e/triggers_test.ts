import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

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
