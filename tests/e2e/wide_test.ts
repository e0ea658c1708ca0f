import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

/** As many columns as are replicated, besides the key. */
const MOST = 899;

function list(count: number, item: (at: number) => string): string {
  return Array.from({ length: count }, (_, at) => item(at)).join();
}

const column = (at: number): string => `c${at}`;

Deno.test("tables of 500 and of 900 columns are replicated, with UNIQUE indexes and whatever text", async () => {
  const schema = `CREATE TABLE wide (id INTEGER PRIMARY KEY, ${list(499, column)}, UNIQUE (c7, c498));
    CREATE UNIQUE INDEX lower_c9 ON wide (lower(c9)) WHERE c9 <> 'nobody';
    CREATE TABLE keyed (${list(500, column)}, PRIMARY KEY (${list(200, column)})) WITHOUT ROWID;
    CREATE TABLE widest (id INTEGER PRIMARY KEY, ${list(MOST, column)}, UNIQUE (c1));
    CREATE TABLE bare (${list(MOST, column)});
    CREATE TABLE too_wide (id INTEGER PRIMARY KEY, ${list(MOST + 1, column)});`;
  await using cluster = await startCluster(2, { schema });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql(`INSERT INTO wide VALUES (1, ${list(499, (at) => `'a${at}'`)}),
      (2, ${list(499, (at) => at % 2 === 0 ? "NULL" : `${at}.5`)}),
      (3, ${list(499, (at) => `x'${at.toString(16).padStart(4, "0")}'`)});
    INSERT INTO keyed VALUES (${list(500, (at) => `'a${at}'`)}), (${list(500, (at) => `${at}`)});
    INSERT INTO widest VALUES (1, ${list(MOST, (at) => at === 888 ? "char(97, 0, 98)" : `'a${at}'`)}),
      (2, ${list(MOST, (at) => `'b${at}'`)});
    INSERT INTO bare VALUES (${list(MOST, (at) => at === 888 ? "char(65533)" : `${at}`)});
    INSERT INTO too_wide (id) VALUES (1);`);
  await eventually("all have arrived", () => assert.equal(second.count("SELECT count(*) FROM bare"), 1));
  await second.sql(`UPDATE wide SET c498 = 'changed', c0 = NULL WHERE id = 1;
    REPLACE INTO wide (id, c9) VALUES (4, 'A9'); DELETE FROM wide WHERE id = 2;
    UPDATE keyed SET c499 = -1; UPDATE keyed SET c0 = 'moved' WHERE c0 = 0;
    UPDATE OR REPLACE widest SET c1 = 'a1', c888 = char(98, 0) WHERE id = 2;
    UPDATE bare SET c888 = c888 || 'x', c0 = CAST(x'ff' AS TEXT);`);
  await second.sql("DELETE FROM too_wide; DROP TABLE too_wide;");
  await first.process.waitForLog(
    'Table is not replicated table=too_wide reason="it has 901 columns, more than 900"',
  );
  assert.equal(first.count("SELECT count(*) FROM too_wide"), 1);
  await first.sql("DROP TABLE too_wide;");
  await cluster.converge();
  assert.deepEqual(first.read("SELECT id FROM wide ORDER BY id").flat(), [3n, 4n]);
  assert.deepEqual(first.read("SELECT c0 FROM keyed ORDER BY 1").flat(), ["a0", "moved"]);
  assert.deepEqual(first.read("SELECT id, c1, c2 FROM widest"), [[2n, "a1", "b2"]]);
  assert.equal(first.count("SELECT count(*) FROM __harmonylite___quarantine"), 0);
});

Deno.test("300 tables are all replicated, and tables that come later", async () => {
  const tables = Array.from({ length: 300 }, (_, at) => `table_${at}`);
  const schema = tables.map((name, at) =>
    [
      `CREATE TABLE ${name} (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b, c REAL);`,
      `CREATE TABLE ${name} (a TEXT, b INTEGER, c, PRIMARY KEY (a, b)) WITHOUT ROWID;`,
      `CREATE TABLE ${name} (a, b, c);`,
    ][at % 3]!
  ).join("");
  await using cluster = await startCluster(2, { schema, settings: { replication_log: { shards: 4 } } });
  for (const node of cluster.nodes) {
    const id = node.options.nodeId;
    const inserts = tables.map((name) =>
      `INSERT INTO ${name} (a, b) VALUES ('of ${id}', ${id}), ('${id}', 2);`
    );
    const updates = tables.map((name) => `UPDATE ${name} SET c = ${id} WHERE b = ${id};`);
    await node.sql(`BEGIN; ${inserts.join("")} ${updates.join("")} COMMIT;`);
    await cluster.converge();
  }
  for (const node of cluster.nodes) await node.sql("CREATE TABLE later (id INTEGER PRIMARY KEY);");
  await Promise.all(
    cluster.nodes.map(({ process }) => process.waitForLog("Triggers installed tables=later")),
  );
  await cluster.node(1).sql("INSERT INTO later VALUES (1); DELETE FROM table_0;");
  await cluster.converge();
  const counts = ["later", ...tables].map((name) => `(SELECT count(*) FROM ${name})`).join(" + ");
  assert.equal(cluster.node(2).count(`SELECT ${counts}`), 1 + 299 * 4);
  for (const node of cluster.nodes) {
    assert.ok(node.residentMegabytes() < 256, `${node.residentMegabytes()} MB`);
  }
});
