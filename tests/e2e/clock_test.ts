import assert from "node:assert/strict";
import { runClockedSql } from "../support/clocked_sql.ts";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const SCHEMA = `CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);
  CREATE TABLE bulk (id INTEGER PRIMARY KEY, n INTEGER);`;
const YEAR_MS = 365 * 24 * 3600 * 1000;

function texts(node: ClusterNode): string {
  return node.read("SELECT id || ' ' || text FROM notes ORDER BY id").join("; ");
}

/** How far a node's clock is ahead of real time, in milliseconds. */
function aheadMs(node: ClusterNode): number {
  return node.count('SELECT ts / 1000000 FROM "__harmonylite___clock"') - Date.now();
}

Deno.test("clocks years apart and running backwards: a write made after seeing another beats it, others go by the clock", async () => {
  await using cluster = await startCluster(3, { schema: SCHEMA });
  const [ahead, behind, right] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  const expectAll = async (expected: string): Promise<void> => {
    await cluster.converge();
    for (const node of cluster.nodes) assert.equal(texts(node), expected);
  };
  // Nobody has seen anything: the clocks decide, whoever wrote first and whatever arrives first.
  await cluster.nats.kill();
  await runClockedSql(ahead.dbPath, [YEAR_MS, "INSERT INTO notes VALUES (1, 'ahead')"]);
  await right.sql("INSERT INTO notes VALUES (1, 'right'), (2, 'right');");
  await runClockedSql(behind.dbPath, [-3 * YEAR_MS, "INSERT INTO notes VALUES (1, 'behind'), (2, 'behind')"]);
  await cluster.nats.start();
  await expectAll("1 ahead; 2 right");

  // From here on each has seen what the one before it wrote.
  await runClockedSql(behind.dbPath, [-3 * YEAR_MS, "UPDATE notes SET text = text || ', behind'"]);
  await expectAll("1 ahead, behind; 2 right, behind");
  await right.sql("UPDATE notes SET text = text || ', right' WHERE id = 1; DELETE FROM notes WHERE id = 2;");
  await expectAll("1 ahead, behind, right");
  await runClockedSql(behind.dbPath, [-3 * YEAR_MS, "INSERT INTO notes VALUES (2, 'again')"]);
  await expectAll("1 ahead, behind, right; 2 again");
  await runClockedSql(behind.dbPath, [-9 * YEAR_MS, "DELETE FROM notes WHERE id = 1"]);
  await expectAll("2 again");
  await runClockedSql(
    ahead.dbPath,
    [YEAR_MS, "UPDATE notes SET text = 'a'"],
    [-YEAR_MS, "UPDATE notes SET text = text || 'b'"],
    [-9 * YEAR_MS, "UPDATE notes SET text = text || 'c'; INSERT INTO notes VALUES (3, 'x')"],
    [0, "UPDATE notes SET text = text || 'd'"],
  );
  await expectAll("2 abcd; 3 xd");

  // Two writes at one value of the clock: the higher number of a node wins.
  await cluster.nats.kill();
  for (const [at, node] of cluster.nodes.entries()) {
    await node.sql(
      `UPDATE "__harmonylite___clock" SET ts = (SELECT max(ts) FROM "__harmonylite__notes_row_version") + 1000;
      UPDATE notes SET text = 'node ${at + 1}' WHERE id = 2;`,
    );
  }
  const newest = `SELECT ts FROM "__harmonylite__notes_change_log" ORDER BY id DESC LIMIT 1`;
  assert.equal(new Set(cluster.nodes.map((node) => String(node.read(newest)))).size, 1);
  await cluster.nats.start();
  await expectAll("2 node 3; 3 xd");
});

Deno.test("a bulk load does not push clocks ahead of real time, on no node", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  const rows = 60_000;
  const series = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})`;
  await first.sql(`INSERT INTO bulk ${series} SELECT i, 0 FROM n; UPDATE bulk SET n = 1;`);
  assert.ok(aheadMs(first) <= 1, `${aheadMs(first)} ms`);
  await eventually("all arrived", () => second.count("SELECT sum(n) FROM bulk") === rows, {
    timeoutMs: 60_000,
  });
  assert.ok(aheadMs(second) <= 1, `${aheadMs(second)} ms`);
  await second.sql("UPDATE bulk SET n = 2 WHERE id = 1;");
  await cluster.converge();
  assert.equal(first.count("SELECT n FROM bulk WHERE id = 1"), 2);
});
