import assert from "node:assert/strict";
import { type ClusterNode, startCluster } from "../support/cluster.ts";

/** Declaration of a key, and values that it can have: no two of them the same key. */
const KEYS = [
  ["INTEGER PRIMARY KEY", "0", "-1", "9223372036854775807", "-9223372036854775808"],
  ["INTEGER PRIMARY KEY DESC", "0", "-1", "9223372036854775807", "'text'"],
  ["INT PRIMARY KEY", "0", "1.5", "9e999", "'text'", "x''"],
  ["REAL PRIMARY KEY", "0", "-1", "0.1", "1e308", "5e-324", "9e999", "-9e999", "9007199254740993", "'text'"],
  ["TEXT PRIMARY KEY", "''", "'a'", "'A'", "'a '", "1", "1.0", "x'61'", "char(0)", "'a' || char(0)", "'é'"],
  ["BLOB PRIMARY KEY", "x''", "x'00'", "x'0000'", "1", "'1'", "1.5", "randomblob(5000)"],
  ["PRIMARY KEY", "1", "1.5", "'1'", "x'31'", "9223372036854775807", "9223372036854775808.0"],
  ["NUMERIC PRIMARY KEY", "1", "1.5", "'1e'", "x'31'"],
  ["DATETIME PRIMARY KEY", "'2024-02-30'", "'2024-01-02 03:04:05.678901234'", "1704164645.678"],
  ["BOOLEAN PRIMARY KEY", "true", "false", "5", "'true'"],
  ["TEXT COLLATE NOCASE PRIMARY KEY", "'a'", "'B'", "'é'", "'É'"],
  ["TEXT COLLATE RTRIM PRIMARY KEY", "'a'", "' a '", "''"],
] as const;

interface KeyTable {
  readonly name: string;
  readonly sql: string;
  readonly values: readonly string[];
}

/** Each key in an ordinary table and in one WITHOUT ROWID, alone and as a part of a composite key. */
const TABLES = KEYS.flatMap(([key, ...values], at): KeyTable[] => {
  const type = key.replace(/ ?PRIMARY KEY.*/, "");
  return ["", "WITHOUT ROWID"].flatMap((option) => {
    const name = `k${at}${option === "" ? "" : "_compact"}`;
    // Without a rowid INTEGER PRIMARY KEY takes anything.
    return [
      { name, sql: `CREATE TABLE ${name} (k ${key}, v) ${option};`, values },
      {
        name: `${name}_pair`,
        sql: `CREATE TABLE ${name}_pair (v, p ANY, k ${type}, PRIMARY KEY (k, p)) ${option};`,
        values,
      },
    ];
  });
});

/** Each node writes every second value of each table. */
function insertsOf({ options: { nodeId } }: ClusterNode): string {
  return TABLES.flatMap(({ name, values }) =>
    values.filter((_, at) => at % 2 === Number(nodeId) % 2)
      .map((value) =>
        name.endsWith("_pair")
          ? `INSERT INTO ${name} (k, p, v) VALUES (${value}, 1, 'new'), (${value}, 'two', 'new');`
          : `INSERT INTO ${name} (k, v) VALUES (${value}, 'new');`
      )
  ).join("\n");
}

Deno.test("keys of every type and value are the same row on every node", async () => {
  await using cluster = await startCluster(2, {
    schema: TABLES.map(({ sql }) => sql).join(""),
    settings: { replication_log: { shards: 3 } },
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await Promise.all(cluster.nodes.map((node) => node.sql(`BEGIN; ${insertsOf(node)} COMMIT;`)));
  await cluster.converge();
  // What one wrote the other changes, and each removes a row of the other.
  for (const node of cluster.nodes) {
    const other = Number(node.options.nodeId) % 2;
    await node.sql(
      TABLES.map(({ name, values: [zero, one] }) =>
        `UPDATE ${name} SET v = 'seen' WHERE k = ${other === 0 ? zero : one};
         DELETE FROM ${name} WHERE k = ${other === 0 ? one : zero} AND v = 'seen';`
      ).join("\n"),
    );
    await cluster.converge();
  }
  for (const { name, values } of TABLES) {
    const rows = (values.length - 1) * (name.endsWith("_pair") ? 2 : 1);
    assert.equal(second.count(`SELECT count(*) FROM ${name}`), rows, name);
  }
  assert.equal(first.count("SELECT count(*) FROM __harmonylite___quarantine"), 0);
});
