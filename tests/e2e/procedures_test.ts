import assert from "node:assert/strict";
import { type Cluster, type ClusterNode, startCluster } from "../support/cluster.ts";
import { ROOT } from "../support/node_process.ts";
import { runProgram } from "../support/process.ts";

/**
 * The procedures of the user's documents that have to do with triggers and schema changes, each as the page says it:
 * troubleshooting.md ("Changes Not Replicating", "Fixing Triggers and Schema Issues"), faq.md ("What if I need to make
 * schema changes?"), deployment.md ("Diagnostics Commands").
 */
const SCHEMA = `
  CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
  CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id), code TEXT UNIQUE);
  CREATE TABLE test_table (id INTEGER PRIMARY KEY, name TEXT);`;
const TRIGGERS = "SELECT name FROM sqlite_master WHERE type='trigger' AND name LIKE '__harmonylite%';";

/** `harmonylite …`, run in the folder of the configuration. */
function harmonylite(cluster: Cluster, ...args: string[]): Promise<string> {
  return runProgram(Deno.execPath(), ["run", "-A", "--frozen", `${ROOT}main.ts`, ...args], {
    cwd: cluster.dir,
  });
}

/** The number of the node's triggers, as an operator looks at them. */
async function triggers(node: ClusterNode): Promise<number> {
  return (await node.sql(TRIGGERS)).split("\n").filter((line) => line !== "").length;
}

Deno.test("the documented schema change, node by node with -cleanup and a restart, loses nothing", async (t) => {
  await using cluster = await startCluster(3, { schema: SCHEMA });
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  await first.sql("INSERT INTO users VALUES (1, 'Ann'), (2, 'Bob'); INSERT INTO orders VALUES (1, 1, 'x');");
  await cluster.converge();
  const changes = [
    {
      name: "a new column",
      sql: "ALTER TABLE users ADD COLUMN email TEXT DEFAULT 'none';",
      data: "UPDATE users SET email = 'a@b' WHERE id = 1;",
    },
    {
      name: "renamed, dropped and new columns, a new table, a table made anew",
      sql: `ALTER TABLE users RENAME COLUMN name TO full_name;
        ALTER TABLE users DROP COLUMN email;
        CREATE TABLE extra (id INTEGER PRIMARY KEY, users TEXT);
        PRAGMA foreign_keys = OFF;
        BEGIN;
        CREATE TABLE new_orders (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id), code TEXT UNIQUE, total REAL);
        INSERT INTO new_orders (id, user_id, code) SELECT id, user_id, code FROM orders;
        DROP TABLE orders;
        ALTER TABLE new_orders RENAME TO orders;
        COMMIT;`,
      data: "UPDATE users SET full_name = 'Ann B' WHERE id = 1;",
    },
  ];
  for (const [index, { name, sql, data }] of changes.entries()) {
    await t.step(name, async () => {
      for (const [at, node] of cluster.nodes.entries()) {
        // Stopped before, as some will do, or left to -cleanup.
        if (index === 0) assert.equal(await node.stop(), 0);
        // What the application wants in the new columns is written on one node.
        await node.sql(at === 0 ? sql + data : sql);
        await harmonylite(cluster, "-config", `${cluster.dir}/node-${at + 1}.toml`, "-cleanup");
        assert.equal(await triggers(node), 0);
        await node.start();
        assert.ok(await triggers(node) > 0);
      }
      await cluster.converge();
      const schemas = await Promise.all(
        cluster.nodes.map((node) => node.sql(".schema users\n.schema orders")),
      );
      const structures = schemas.map((text) =>
        text.split("\n").filter((line) => line.startsWith("CREATE TABLE"))
      );
      for (const structure of structures) assert.deepEqual(structure, structures[0]);
    });
  }
  // Applications go on.
  await second.sql("INSERT INTO users VALUES (3, 'Cem'); INSERT INTO orders VALUES (2, 3, 'y', 1.5);");
  await third.sql("INSERT INTO extra VALUES (1, 'z'); UPDATE orders SET total = 2 WHERE id = 1;");
  await cluster.converge();
  for (const node of cluster.nodes) {
    assert.equal(await node.sql("PRAGMA foreign_key_check;"), "");
    assert.deepEqual(node.read("SELECT * FROM users ORDER BY id"), [[1n, "Ann B"], [2n, "Bob"], [3n, "Cem"]]);
  }
});

Deno.test("triggers and change logs that are missing come back with -cleanup and a restart", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.kill();
  await first.sql(
    `INSERT INTO users VALUES (1, 'pending'); DROP TABLE __harmonylite__orders_change_log;
     DROP TRIGGER __harmonylite__test_table_change_log_on_insert;`,
  );
  await assert.rejects(first.sql("INSERT INTO orders VALUES (1, 1, 'x');"), /no such table/);
  await harmonylite(cluster, "-config", "node-1.toml", "-cleanup");
  assert.equal(await triggers(first), 0);
  await first.sql("DELETE FROM orders;"); // No trigger is left that could fail.
  await first.start();
  await first.sql("INSERT INTO orders VALUES (1, 1, 'x'); INSERT INTO test_table VALUES (1, 'y');");
  await second.sql("INSERT INTO users VALUES (2, 'by the other');");
  await cluster.converge();
  assert.deepEqual(second.read("SELECT count(*) FROM orders UNION ALL SELECT count(*) FROM test_table"), [[
    1n,
  ], [1n]]);
  assert.deepEqual(second.read("SELECT name FROM users ORDER BY id").flat(), ["pending", "by the other"]);
});

Deno.test("a test change appears in the change log, with the statements of the page", async () => {
  await using cluster = await startCluster(1, { schema: SCHEMA });
  const node = cluster.node(1);
  const seen = await node.sql(
    `PRAGMA trusted_schema = ON;
     INSERT INTO test_table (name) VALUES ('test');
     SELECT * FROM __harmonylite__test_table_change_log ORDER BY id DESC LIMIT 1;`,
  );
  assert.match(seen, /1\|1\|test\|insert\|\d{13}\|/);
  assert.ok(await triggers(node) >= 3 * 3);
  await harmonylite(cluster, "-config", "node-1.toml", "-cleanup");
  assert.equal(await node.process.exited, 0);
});
