import assert from "node:assert/strict";
import { APPLICATION_SCHEMA } from "../support/application.ts";
import { startApplication } from "../support/application_process.ts";
import { type Cluster, type ClusterNode, startCluster } from "../support/cluster.ts";

/** What `verify --json` prints of a node. */
interface ToldNode {
  readonly node: string;
  readonly tables: readonly ToldTable[];
}

interface ToldTable {
  readonly table: string;
  readonly differences: readonly { readonly key: string }[];
}

function differingIn(tables: readonly ToldTable[]): string[] {
  return tables.filter(({ differences }) => differences.length > 0)
    .map(({ table, differences }) => `${table}: ${differences.map(({ key }) => key).sort().join("; ")}`);
}

interface Answer {
  readonly code: number;
  readonly text: string;
  /** `table: rows that differ`, by node. */
  readonly differing: Record<string, string[]>;
}

async function verify(node: ClusterNode, ...options: string[]): Promise<Answer> {
  const process = node.command(["verify", "--json", ...options]);
  const code = await process.exited;
  const text = process.log.tail(100);
  const last = process.output.lines.at(-1) ?? "";
  const { nodes } = (last.startsWith("{") ? JSON.parse(last) : { nodes: [] }) as { nodes: ToldNode[] };
  return {
    code,
    text,
    differing: Object.fromEntries(nodes.map(({ node, tables }) => [node, differingIn(tables)])),
  };
}

/** Changes rows of a running node behind the back of capture: its triggers are away meanwhile. */
async function tamper(node: ClusterNode, sql: string): Promise<void> {
  const triggers = node.read(
    "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '\\_\\_harmonylite%' ESCAPE '\\'",
  );
  const drops = triggers.map(([name]) => `DROP TRIGGER "${String(name).replaceAll('"', '""')}";`).join("");
  await node.sql(`BEGIN; ${drops} ${sql} COMMIT;`);
}

const SCHEMA = `CREATE TABLE notes (id INTEGER PRIMARY KEY, text); CREATE TABLE tags (k TEXT PRIMARY KEY, n);
  ${APPLICATION_SCHEMA}`;

Deno.test("verify finds what differs between nodes, and a repair gives each row its higher version", async () => {
  await using cluster = await startCluster(3, { schema: SCHEMA });
  const [first, second, third] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await first.sql(
    `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 20000)
     INSERT INTO notes SELECT i, 'note ' || i FROM n; INSERT INTO tags VALUES ('a', 1), (NULL, 2);`,
  );
  await cluster.converge();
  assert.deepEqual(await codesOf(cluster), [0, 0, 0]);
  await tamper(second, "UPDATE notes SET text = 'damaged' WHERE id = 777; DELETE FROM tags WHERE k = 'a';");
  await tamper(third, "INSERT INTO notes VALUES (30000, 'never sent');");
  const found = await verify(first);
  assert.equal(found.code, 1, found.text);
  assert.deepEqual(found.differing, {
    "2": ["notes: id = 777", "tags: k = 'a'"],
    "3": ["notes: id = 30000"],
  });
  assert.deepEqual((await verify(second)).differing["3"], ["notes: id = 30000; id = 777", "tags: k = 'a'"]);
  assert.equal((await verify(first, "--repair")).code, 1);
  assert.equal(second.count("SELECT count(*) FROM notes WHERE text = 'note 777'"), 1);
  assert.equal((await verify(third, "--repair")).code, 1);
  assert.deepEqual(await codesOf(cluster), [0, 0, 0]);
  await cluster.converge();
  assert.equal(first.count("SELECT count(*) FROM notes"), 20_001);
  // And the rows live on as any other.
  await second.sql("UPDATE tags SET n = n + 1; DELETE FROM notes WHERE id = 30000;");
  await cluster.converge();
});

async function codesOf(cluster: Cluster): Promise<number[]> {
  const codes: number[] = [];
  for (const node of cluster.nodes) codes.push((await verify(node)).code);
  return codes;
}

Deno.test("verify raises no false alarm while applications write on all nodes", async () => {
  await using cluster = await startCluster(3, {
    schema: SCHEMA,
    settings: { replication_log: { shards: 3 } },
  });
  await using stack = new AsyncDisposableStack();
  for (const [index, { dbPath: db }] of cluster.nodes.entries()) {
    const options = { db, seed: index, firstId: (index + 1) * 1_000_000, rate: 200, sharedPart: 0.5 };
    stack.use(await startApplication(options));
  }
  for (let round = 0; round < 2; round++) {
    for (const node of cluster.nodes) {
      const { code, text, differing } = await verify(node);
      assert.ok(code === 0 || code === 3, text);
      assert.deepEqual(Object.values(differing).flat(), []);
    }
  }
});

Deno.test("verify says when the node does not run, is alone, or has another schema than the others", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = cluster.nodes as [ClusterNode, ClusterNode];
  await second.stop();
  const asked = second.command(["verify"]);
  assert.equal(await asked.exited, 1);
  assert.match(asked.log.tail(20), /Cannot verify: node 2 does not answer[\s\S]*harmonylite run/);
  const alone = first.command(["verify"]);
  assert.equal(await alone.exited, 3);
  assert.match(alone.log.tail(20), /No other node answers/);
  await second.sql("ALTER TABLE notes ADD COLUMN stars;");
  await second.start();
  const other = first.command(["verify"]);
  assert.equal(await other.exited, 3);
  assert.match(other.log.tail(20), /notes: not compared: its table has other columns/);
});

Deno.test("with an interval a node compares by itself, and says what it finds", async () => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    choose: (id) => id === 1 ? { settings: { verify: { interval: 1_000 } } } : {},
  });
  const [first, second] = cluster.nodes as [ClusterNode, ClusterNode];
  await first.sql("INSERT INTO notes VALUES (1, 'a'), (2, 'b');");
  await cluster.converge();
  assert.match(await first.process.waitForLog("Compared rows with other nodes"), /nodes=2 verdict=equal/);
  await tamper(second, "UPDATE notes SET text = 'damaged' WHERE id = 2;");
  assert.match(
    await first.process.waitForLog("Rows differ from those of another node"),
    /node=2 tables=notes rows=1/,
  );
});
