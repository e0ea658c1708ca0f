import assert from "node:assert/strict";
import { quote } from "../../src/sqlite/identifier.ts";
import { eventually } from "../support/eventually.ts";
import { type ClusterNode, startCluster } from "../support/cluster.ts";

/** Names that SQLite takes for a table and for a column, most of them by mistake of somebody. */
const NAMES = [
  "two words",
  " spaces ",
  "it's",
  'say "so"',
  '"quoted"',
  "back`tick",
  "[bracket]",
  "a]b[",
  "hyphen-ated",
  "semi;colon",
  "-- comment",
  "/* comment */",
  "line\nbreak",
  "tab\tand\r",
  "back\\slash",
  "100%",
  "what ?9",
  ":name",
  "@name",
  "$1",
  "$& $` \\1",
  "{}",
  "select",
  "TABLE",
  "rowid",
  "row",
  "new",
  "OLD",
  "clock",
  "größe",
  "é",
  "É",
  "e\u0301",
  "日本語",
  "😀",
  "\u200b",
  "0",
  "null",
  "id",
  "type",
  "ts",
  "state",
  "shape",
  "shard",
  "sequence",
  "node",
  "hash",
  "deleted",
  "created_at",
  "val_x",
  "val_val_x",
  "x",
  "_global",
  "_clock",
  "schema_version",
  "x_change_log",
  "x_row_version",
  "x_replaced",
  "x_null",
  "x_absent",
  "X_CHANGE_LOG_row_version",
  "harmonylite",
  "",
] as const;

/** One table of each name, with columns of all names: the key, one with an index, and others. */
function tableOf(name: string, at: number): string {
  const columns = NAMES.map((column, index) =>
    index === at ? `${quote(column)} TEXT PRIMARY KEY` : quote(column)
  );
  const unique = NAMES[(at + 1) % NAMES.length]!;
  return `CREATE TABLE ${quote(name)} (${columns.join()}, UNIQUE (${quote(unique)}));`;
}

/** Writes, changes, moves, replaces and deletes rows in each table. */
async function writeAll(node: ClusterNode, from: number): Promise<void> {
  const statements = NAMES.flatMap((name, at) => {
    const table = quote(name);
    const key = quote(NAMES[at]!);
    const unique = quote(NAMES[(at + 1) % NAMES.length]!);
    const other = quote(NAMES[(at + 2) % NAMES.length]!);
    const row = (id: string, taken: string): string =>
      `(${
        NAMES.map((_, index) => index === at ? `'${id}'` : index === (at + 1) % NAMES.length ? taken : index)
      })`;
    return [
      `INSERT INTO ${table} VALUES ${row(`a${from}`, `${from}1`)}, ${row(`b${from}`, `${from}2`)}, ${
        row(`c${from}`, `${from}3`)
      }`,
      `UPDATE ${table} SET ${other} = 'changed' WHERE ${key} = 'a${from}'`,
      `UPDATE ${table} SET ${key} = 'moved${from}' WHERE ${key} = 'a${from}'`,
      `REPLACE INTO ${table} (${key}, ${unique}) VALUES ('d${from}', ${from}2)`,
      `DELETE FROM ${table} WHERE ${key} = 'c${from}'`,
    ];
  });
  await node.sql(`BEGIN; ${statements.join(";")}; COMMIT;`);
}

Deno.test("tables and columns of any name are replicated", async () => {
  await using cluster = await startCluster(2, {
    schema: NAMES.map(tableOf).join(""),
    settings: { replication_log: { shards: 2 } },
  });
  for (const node of cluster.nodes) await writeAll(node, node.options.nodeId as number);
  await cluster.converge();
  const counts = NAMES.map((name) => `(SELECT count(*) FROM ${quote(name)})`).join();
  const [rows] = cluster.node(2).read(`SELECT ${counts}`);
  assert.deepEqual(NAMES.filter((_, at) => rows![at] !== 4n), []);
  assert.equal(cluster.node(1).count("SELECT count(*) FROM __harmonylite___quarantine"), 0);
});

Deno.test("tables that are called like HarmonyLite's but are not stay the application's, and it is said", async () => {
  const theirs = ["__HARMONYLITE__x", "__HarmonyLite__x_row_version", "__harmonylite__mine"];
  await using cluster = await startCluster(2, {
    schema: `CREATE TABLE t (a); CREATE TRIGGER __HARMONYLITE__loud AFTER INSERT ON t BEGIN SELECT 1; END;
      CREATE INDEX __harmonylite__BY_A ON t (a); ${
      theirs.map((name) => `CREATE TABLE ${name} (a);`).join("")
    }`,
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql(
    theirs.map((name) => `INSERT INTO ${name} VALUES (1);`).join("") + "INSERT INTO t VALUES (1);",
  );
  await cluster.converge({ nodes: [first] });
  await eventually("the other table goes on", () => second.count("SELECT count(*) FROM t") === 1);
  for (const name of theirs) {
    await first.process.waitForLog(new RegExp(`Table is not replicated table=${name} `));
    assert.equal(second.count(`SELECT count(*) FROM ${name}`), 0);
  }
  await using cleanup = first.command(["cleanup", "--all"]);
  assert.equal(await cleanup.exited, 0);
  const left = first.read("SELECT name FROM sqlite_schema WHERE name LIKE '%harmonylite%' ORDER BY name")
    .flat();
  assert.deepEqual(left, ["__HARMONYLITE__loud", theirs[0], theirs[1], "__harmonylite__BY_A", theirs[2]]);
});

Deno.test("a table that has the very name of one of HarmonyLite's keeps a node from starting, and nothing is changed", async () => {
  const taken = [
    "CREATE TABLE __Harmonylite___Global_Change_Log (a)",
    "CREATE TABLE __HARMONYLITE__t_Change_Log (a)",
    "CREATE VIEW __Harmonylite___Clock AS SELECT 1 AS id, 2 AS ts",
  ];
  await using cluster = await startCluster(taken.length, {
    schema: "",
    choose: (id) => ({ schema: `CREATE TABLE t (a); ${taken[id - 1]};`, started: false }),
  });
  for (const node of cluster.nodes) {
    await using process = node.launch();
    assert.equal(await process.exited, 1);
    assert.ok(process.log.has(/Cannot capture changes .* it has a (table|view) "__H/), process.log.tail());
    await node.sql("INSERT INTO t VALUES (1);");
    assert.equal(node.count("SELECT count(*) FROM sqlite_schema"), 2);
  }
});
