import assert from "node:assert/strict";
import { type Cluster, type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

/** One table for each way in which a value can be UNIQUE; `value` says under which value rows clash. */
const TABLES: Readonly<Record<string, { columns: string; index: string; value: string; where?: string }>> = {
  collated: { columns: "v TEXT COLLATE NOCASE UNIQUE", index: "", value: "lower(v)" },
  recollated: { columns: "v TEXT", index: "(v COLLATE NOCASE DESC)", value: "lower(v)" },
  folded: { columns: "v TEXT", index: "(lower(trim(v)) COLLATE RTRIM)", value: "lower(v)" },
  generated: { columns: "v TEXT, g TEXT AS (lower(v)) STORED UNIQUE", index: "", value: "lower(v)" },
  derived: { columns: "v TEXT, g AS (lower(v))", index: "(g || '(,')", value: "lower(v)" },
  typed: {
    columns: "v TEXT, n INTEGER",
    index: "(CASE WHEN n = '1' THEN lower(v) END)",
    value: "lower(v)",
    where: "n = 1",
  },
  partial: {
    columns: "v TEXT, n TEXT",
    index: "(v COLLATE NOCASE) WHERE partial.n = 1 -- active",
    value: "lower(v)",
    where: "n = '1'",
  },
  quoted: {
    columns: "v TEXT COLLATE NOCASE, n TEXT",
    index: `(v) WHERE n <> "off, not on"`,
    value: "lower(v)",
  },
  two_columns: {
    columns: "v TEXT COLLATE NOCASE, n DEFAULT 1, UNIQUE (v, n)",
    index: "",
    value: "lower(v) || n",
  },
};
const NAMES = Object.keys(TABLES);
const QUARANTINED = "SELECT reason FROM __harmonylite___quarantine";

function schema(): string {
  return Object.entries(TABLES).map(([name, { columns, index }]) =>
    `CREATE TABLE ${name} (id INTEGER PRIMARY KEY, ${columns});
     ${index === "" ? "" : `CREATE UNIQUE INDEX ${name}_v ON ${name} ${index}\n;`}`
  ).join("\n");
}

/** The same rows for all tables. */
function forAll(statement: (table: string, n: string) => string): string {
  return NAMES.map((name) => `${statement(name, TABLES[name]!.columns.includes(" n ") ? "1" : "")}\n;`).join(
    "\n",
  );
}

function insert(or: string, rows: readonly (readonly [id: number, v: string])[]): string {
  return forAll((table, n) => {
    const values = rows.map(([id, v]) => `(${id}, '${v}'${n === "" ? "" : `, ${n}`})`).join(", ");
    return `INSERT ${or} INTO ${table} (id, v${n === "" ? "" : ", n"}) VALUES ${values}`;
  });
}

function assertNothingLost(nodes: readonly ClusterNode[]): void {
  for (const node of nodes) {
    assert.deepEqual(node.read(QUARANTINED), []);
    for (const [name, { value, where }] of Object.entries(TABLES)) {
      const [doubled] = node.read(
        `SELECT ${value}, group_concat(id) FROM ${name} ${
          where ? `WHERE ${where}` : ""
        } GROUP BY 1 HAVING count(*) > 1`,
      );
      assert.equal(doubled, undefined, name);
    }
  }
}

/** The rows that each table has, all tables alike. */
function rows({ nodes }: Cluster): string {
  const each = NAMES.map((name) =>
    nodes[0]!.read(`SELECT id || lower(v) FROM ${name} ORDER BY id`).flat().join(" ")
  );
  each.forEach((text, at) => assert.equal(text, each[0], NAMES[at]));
  return each[0]!;
}

Deno.test("of two nodes that claim a UNIQUE value at once one gets it, whatever makes it UNIQUE", async () => {
  await using cluster = await startCluster(2, {
    schema: schema(),
    settings: { replication_log: { shards: 3 } },
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql(insert("", [[1, "one"], [2, "two"], [3, "three"], [4, "four"]]));
  await cluster.converge();
  assert.equal(rows(cluster), "1one 2two 3three 4four");

  await cluster.nats.kill();
  await first.sql(insert("", [[11, "Claimed"], [12, "mine"]]));
  await second.sql(insert("", [[21, "CLAIMED"], [22, "yours"]]));
  // One row that takes the values of two, one that takes a value which is given up, and a swap.
  await second.sql(insert("OR REPLACE", [[1, "TWO"], [23, "Three"]]));
  await first.sql(forAll((table) => `UPDATE ${table} SET v = 'x' || v WHERE id > 10`));
  await first.sql(
    forAll((table) =>
      `UPDATE ${table} SET v = 'away' WHERE id = 3; UPDATE ${table} SET v = 'Three' WHERE id = 4; UPDATE ${table} SET v = 'Four' WHERE id = 3`
    ),
  );
  await cluster.nats.start();
  await cluster.converge();
  assertNothingLost(cluster.nodes);
  rows(cluster);

  // Both at once, again and again.
  const writes = (from: number): string =>
    Array.from({ length: 30 }, (_, at) => insert("OR REPLACE", [[from + at % 7, `v${at % 5}`]])).join("\n");
  await Promise.all([first.sql(writes(100)), second.sql(writes(200))]);
  await cluster.converge();
  assertNothingLost(cluster.nodes);

  // An index that comes while the nodes run.
  for (const node of cluster.nodes) {
    await node.sql("CREATE TABLE late (id INTEGER PRIMARY KEY, v TEXT COLLATE NOCASE, w AS (v || '!'));");
  }
  await first.sql("INSERT INTO late VALUES (1, 'a'), (2, 'b');");
  await cluster.converge();
  for (const node of cluster.nodes) {
    await node.sql("CREATE UNIQUE INDEX late_w ON late (w COLLATE NOCASE) WHERE v <> 'c';");
  }
  await Promise.all([
    first.sql("REPLACE INTO late VALUES (3, 'd'), (5, 'c'), (6, 'B');"),
    second.sql("REPLACE INTO late VALUES (4, 'D'), (7, 'C');"),
  ]);
  await cluster.converge();
  assertNothingLost(cluster.nodes);
  assert.equal(second.count("SELECT count(*) FROM late WHERE lower(v) = 'd'"), 1);
  assert.deepEqual(second.read("SELECT v FROM late WHERE lower(v) IN ('b', 'c') ORDER BY id").flat(), [
    "c",
    "B",
    "C",
  ]);
});

Deno.test("a table that only the application's SQLite can write waits, with a reason, and nothing is lost", async () => {
  await using cluster = await startCluster(2, {
    // "uint" and sha3 are the sqlite3 program's own.
    schema: `CREATE TABLE tags (id INTEGER PRIMARY KEY, tag TEXT COLLATE uint);
      CREATE TABLE files (id INTEGER PRIMARY KEY, body TEXT CHECK (length(sha3(body)) > 0));`,
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO tags VALUES (1, 'a1'); INSERT INTO files VALUES (1, 'text');");
  await cluster.converge();
  for (const node of cluster.nodes) await node.sql("CREATE UNIQUE INDEX tag ON tags (tag);");
  await first.sql(
    "INSERT INTO tags VALUES (2, 'a2'); REPLACE INTO tags VALUES (3, 'a01'); INSERT INTO files VALUES (2, 'x');",
  );
  await second.sql("INSERT INTO tags VALUES (4, 'a4');");
  await eventually(
    "both wait",
    () =>
      assert.ok(
        cluster.nodes.every(({ process }) =>
          ["schema_mismatch_paused", "no such collation sequence: uint"].every((text) =>
            process.log.has(text)
          )
        ),
      ),
  );
  for (const node of cluster.nodes) await node.sql("DROP INDEX tag;");
  await cluster.converge();
  for (const node of cluster.nodes) {
    assert.deepEqual(node.read("SELECT id, tag FROM tags").join(" "), "2,a2 3,a01 4,a4");
    assert.deepEqual(node.read(QUARANTINED), []);
  }
});
