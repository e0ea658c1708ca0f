import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const SCHEMA = "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT, pages INTEGER, price REAL);";

Deno.test("an insert, an update and a delete on any of three nodes arrive on all", async () => {
  await using cluster = await startCluster(3, { schema: SCHEMA });
  for (const writer of cluster.nodes) {
    const id = Number(writer.options.nodeId);
    await writer.sql(
      `INSERT INTO books VALUES (${id}, 'book ${id}', 100, 9.99), (${id + 10}, 'gone', 1, 1);`,
    );
    for (const reader of cluster.nodes) {
      await eventually(
        "the rows are there",
        () => reader.count(`SELECT count(*) FROM books WHERE id % 10 = ${id}`) === 2,
      );
    }
    await writer.sql(
      `UPDATE books SET pages = pages + 1 WHERE id = ${id}; DELETE FROM books WHERE id = ${id + 10};`,
    );
    for (const reader of cluster.nodes) {
      await eventually(
        "the changes are there",
        () =>
          assert.deepEqual(reader.read("SELECT id, pages FROM books WHERE id % 10 = ?", id), [[
            BigInt(id),
            101n,
          ]]),
      );
    }
  }
  await cluster.converge();
  assert.equal(cluster.node(3).count("SELECT count(*) FROM books"), 3);
});

Deno.test("rows written on both sides at once arrive on both", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const rows = (first: number): string =>
    Array.from({ length: 500 }, (_, i) => `INSERT INTO books VALUES (${first + i}, 'book', ${i}, ${i}.5);`)
      .join("\n");
  await Promise.all([cluster.node(1).sql(rows(1000)), cluster.node(2).sql(rows(2000))]);
  await cluster.converge();
  assert.equal(cluster.node(1).count("SELECT count(*) FROM books"), 1000);
});

Deno.test("what is written while a node is stopped arrives after its start, in both directions", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO books VALUES (1, 'one', 1, 1), (2, 'two', 2, 2);");
  await cluster.converge();
  assert.equal(await first.stop(), 0);
  await first.sql(
    "UPDATE books SET title = 'uno' WHERE id = 1; INSERT INTO books VALUES (3, 'three', 3, 3);",
  );
  await second.sql("DELETE FROM books WHERE id = 2; INSERT INTO books VALUES (4, 'four', 4, 4);");
  await first.start();
  await cluster.converge();
  assert.deepEqual(second.read("SELECT title FROM books ORDER BY id").flat(), ["uno", "three", "four"]);
});

Deno.test("a node that is started late catches up", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA, choose: (id) => ({ started: id === 1 }) });
  await cluster.node(1).sql(
    `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 5000)
     INSERT INTO books SELECT i, 'book ' || i, i, i / 3.0 FROM n;
     UPDATE books SET pages = -1 WHERE id % 3 = 0; DELETE FROM books WHERE id % 5 = 0;`,
  );
  await eventually("all is sent", () => cluster.node(1).pending() === 0);
  await cluster.node(2).start();
  await cluster.converge();
  assert.equal(cluster.node(2).count("SELECT count(*) FROM books"), 4000);
});

Deno.test("with four shards, and compression on some nodes only, all streams are found and all rows arrive", async () => {
  const schema =
    `${SCHEMA} CREATE TABLE tags (name TEXT, book INTEGER, PRIMARY KEY (name, book)) WITHOUT ROWID;
    CREATE TABLE members (id INTEGER PRIMARY KEY, mail TEXT UNIQUE);`;
  // The third node publishes to two shards and has to find the other streams.
  await using cluster = await startCluster(3, {
    schema,
    choose: (id) => ({ settings: { replication_log: { shards: id === 3 ? 2 : 4, compress: id !== 2 } } }),
  });
  await Promise.all(cluster.nodes.map((node, index) =>
    node.sql(
      `WITH RECURSIVE n(i) AS (VALUES (${index * 1000}) UNION ALL SELECT i + 1 FROM n LIMIT 300)
       INSERT INTO books SELECT i, 'book ' || i, i, i / 3.0 FROM n;
       INSERT INTO tags SELECT 'tag', id FROM books WHERE id BETWEEN ${index * 1000} AND ${index * 1000 + 99};
       INSERT INTO members SELECT id, 'm' || id || '@example.org' FROM books
         WHERE id BETWEEN ${index * 1000} AND ${index * 1000 + 49};`,
    )
  ));
  await eventually(
    "all streams are followed",
    () => assert.deepEqual(cluster.nodes.map((node) => node.positions().size), [4, 4, 4]),
  );
  await cluster.converge();
  const count =
    "SELECT (SELECT count(*) FROM books) + (SELECT count(*) FROM tags) + (SELECT count(*) FROM members)";
  assert.ok(cluster.node(3).count(count) >= 1350);
  assert.ok(
    [...cluster.node(1).positions().values()].every((sequence) => sequence > 0),
    "a shard was not used",
  );
});
