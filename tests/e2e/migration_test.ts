import assert from "node:assert/strict";
import { type RunningApplication, startVersatileApplication } from "../support/application_process.ts";
import { type Cluster, type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import type { VersatileReport } from "../support/versatile_application.ts";

const SCHEMA = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, old TEXT);
  CREATE TABLE tags (name TEXT PRIMARY KEY, weight REAL);
  CREATE TABLE parts (id INTEGER PRIMARY KEY, code TEXT UNIQUE, size INTEGER);
  INSERT INTO notes VALUES (1, 'there before', 'x'), (2, 'there before', 'y');`;
/** The promise is a second; the machine may be busy. */
const RESUME_MS = 5_000;
const PAUSED = "schema_mismatch_paused";
const FIRST_IDS = 1_000_000;
const BACKLOG_ROWS = 10_000;
const IS_FOLLOWED = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'tags'";

/** A change that is made on one node after the other. */
interface Step {
  readonly name: string;
  /** Each text by itself, in a process of its own. */
  readonly sql: readonly string[];
  /** Whether a node that has not made it yet cannot apply what comes from one that has. */
  readonly pauses: boolean;
}

const STEPS: readonly Step[] = [
  {
    name: "ADD COLUMN with NOT NULL and a default",
    sql: ["ALTER TABLE notes ADD COLUMN stars INTEGER NOT NULL DEFAULT 5;"],
    pauses: true,
  },
  {
    name: "ADD COLUMN with a default",
    sql: ["ALTER TABLE tags ADD COLUMN note TEXT DEFAULT 'none';"],
    pauses: true,
  },
  {
    name: "CREATE TABLE",
    sql: ["CREATE TABLE extra (shop TEXT, number INTEGER, text TEXT, PRIMARY KEY (shop, number));"],
    pauses: true,
  },
  { name: "RENAME COLUMN", sql: ["ALTER TABLE notes RENAME COLUMN text TO body;"], pauses: true },
  { name: "DROP COLUMN", sql: ["ALTER TABLE notes DROP COLUMN old;"], pauses: false },
  { name: "CREATE INDEX", sql: ["CREATE INDEX by_size ON parts (size);"], pauses: false },
  { name: "CREATE UNIQUE INDEX", sql: ["CREATE UNIQUE INDEX one_size ON parts (size);"], pauses: false },
  { name: "DROP INDEX", sql: ["DROP INDEX by_size; DROP INDEX one_size;"], pauses: false },
  {
    name: "a generated column",
    sql: ["ALTER TABLE notes ADD COLUMN loud TEXT GENERATED ALWAYS AS (upper(body)) VIRTUAL;"],
    pauses: false,
  },
  {
    name: "the migration of SQLite's manual, in one transaction",
    sql: [
      `PRAGMA foreign_keys = OFF;
       BEGIN;
       CREATE TABLE new_parts (id INTEGER PRIMARY KEY, code TEXT UNIQUE, color TEXT DEFAULT 'red');
       INSERT INTO new_parts (id, code) SELECT id, code FROM parts;
       DROP TABLE parts;
       ALTER TABLE new_parts RENAME TO parts;
       COMMIT;
       PRAGMA foreign_key_check;`,
    ],
    pauses: true,
  },
  { name: "RENAME TO", sql: ["ALTER TABLE tags RENAME TO labels;"], pauses: true },
  { name: "DROP TABLE", sql: ["DROP TABLE extra;"], pauses: false },
];

type Applications = readonly RunningApplication<VersatileReport>[];

function startApplications(cluster: Cluster, generation: number): Promise<Applications> {
  return Promise.all(
    cluster.nodes.map(({ dbPath }, index) =>
      startVersatileApplication(dbPath, (generation * 10 + index + 1) * FIRST_IDS)
    ),
  );
}

/** Stops them; none may have seen a single error. */
async function stopUnharmed(applications: Applications): Promise<void> {
  for (const application of applications) {
    const report = await application.stop();
    assert.deepEqual(report.errors, []);
    assert.ok(report.transactions > 10, JSON.stringify(report));
  }
}

function pausesOf(node: ClusterNode): number {
  return node.process.log.lines.filter((line) => line.includes(PAUSED)).length;
}

/** Waits until what is written on the first node from now on arrives on the others. */
async function flows(
  cluster: Cluster,
  from: ClusterNode,
  to: readonly ClusterNode[],
  timeoutMs = RESUME_MS,
): Promise<void> {
  const number = cluster.node(1).count("SELECT count(*) FROM notes");
  await from.sql(`INSERT INTO notes (id) VALUES (${-number});`);
  for (const node of to) {
    await eventually(
      `the marker ${-number} arrives`,
      () => node.count(`SELECT count(*) FROM notes WHERE id = ${-number}`) === 1,
      { timeoutMs },
    );
  }
}

async function roll(cluster: Cluster, { sql, pauses }: Step): Promise<void> {
  const before = cluster.nodes.map(pausesOf);
  for (const [index, node] of cluster.nodes.entries()) {
    if (pauses && index > 0) {
      await eventually("it is paused", () => pausesOf(node) > before[index]!);
    }
    for (const text of sql) await node.sql(text);
    if (!pauses) await flows(cluster, node, cluster.nodes);
  }
  for (const node of cluster.nodes) await flows(cluster, node, cluster.nodes);
}

Deno.test("schema changes roll through three nodes while applications write, and no write fails", async (t) => {
  await using cluster = await startCluster(3, { schema: SCHEMA });
  await using stack = new AsyncDisposableStack();
  const applications = await startApplications(cluster, 1);
  applications.forEach((application) => stack.use(application));
  for (const step of STEPS) {
    const passed = await t.step(step.name, () => roll(cluster, step));
    if (!passed) throw new Error(cluster.nodes.map(({ process }) => process.log.tail(5)).join("\n"));
  }
  await stopUnharmed(applications);
  await cluster.converge();
});

Deno.test("nodes that are killed right after a schema change, or miss all of them, lose no write of their applications", async () => {
  await using cluster = await startCluster(3, { schema: SCHEMA });
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  await using stack = new AsyncDisposableStack();
  const applications = await startApplications(cluster, 1);
  applications.forEach((application) => stack.use(application));
  await third.kill();
  for (const [index, { name, sql }] of STEPS.entries()) {
    for (const node of cluster.nodes) {
      for (const text of sql) await node.sql(text);
    }
    if (!/^(ADD|RENAME|DROP) /.test(name)) continue;
    const killed = index % 2 === 0 ? first : second;
    await killed.kill();
    await killed.sql(`INSERT INTO notes (id) VALUES (${-index - 1});`);
    await killed.start();
  }
  await third.start();
  await stopUnharmed(applications);
  await cluster.converge();
});

Deno.test("schema changes with a large backlog while NATS is away, on both nodes, lose nothing", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  await cluster.nats.kill();
  for (const [index, node] of cluster.nodes.entries()) {
    const first = (index + 1) * FIRST_IDS;
    const count =
      `WITH RECURSIVE n (i) AS (SELECT ${first} UNION ALL SELECT i + 1 FROM n LIMIT ${BACKLOG_ROWS})`;
    const write = (round: number): string =>
      round === 0
        ? `${count} INSERT INTO notes (id, text, old) SELECT i, 'text ' || i, 'old ' || i FROM n;
           ${count} INSERT INTO tags SELECT 'tag ' || i, i FROM n;
           ${count} INSERT INTO parts SELECT i, 'code ' || i, i FROM n;`
        : `UPDATE notes SET stars = ${round} WHERE id % 7 = ${round} AND id >= ${first};
           DELETE FROM notes WHERE id % 11 = ${round} AND id >= ${first};`;
    await node.sql(write(0));
    for (const [round, { sql }] of STEPS.entries()) {
      for (const text of sql) await node.sql(text);
      await node.sql(write(round + 1));
    }
    assert.ok(node.pending() > 3 * BACKLOG_ROWS, String(node.pending()));
  }
  await cluster.nats.start();
  await cluster.converge();
  assert.equal(cluster.node(1).count("SELECT count(*) FROM labels"), 2 * BACKLOG_ROWS);
});

Deno.test("a table that is dropped and created again, with the same or another key, is replicated from then on", async (t) => {
  await using cluster = await startCluster(3, { schema: SCHEMA });
  const byName = (id: number): string => `INSERT INTO tags (name) VALUES ('tag ${id}');`;
  const byId = (id: number): string => `INSERT INTO tags (id, weight) VALUES (${id}, ${id});`;
  const definitions = [
    ["name TEXT PRIMARY KEY, weight REAL", byName],
    ["name TEXT PRIMARY KEY, weight REAL, color TEXT DEFAULT 'red'", byName],
    ["id INTEGER PRIMARY KEY, weight REAL UNIQUE", byId],
    ["weight REAL, id INTEGER, PRIMARY KEY (id, weight)", byId],
    ["name TEXT PRIMARY KEY, weight REAL", byName],
  ] as const;
  for (const [index, [definition, insert]] of definitions.entries()) {
    const passed = await t.step(definition, async () => {
      await using stack = new AsyncDisposableStack();
      const applications = await startApplications(cluster, index + 1);
      applications.forEach((application) => stack.use(application));
      for (const node of cluster.nodes) {
        await node.sql(`DROP TABLE tags; CREATE TABLE tags (${definition});`);
        await eventually("it is followed", () => node.count(IS_FOLLOWED) > 0);
        await flows(cluster, node, [node]);
      }
      for (const node of cluster.nodes) await flows(cluster, node, cluster.nodes);
      await stopUnharmed(applications);
      // What was written before the last node had made it is gone there, and only there.
      for (const node of cluster.nodes) await node.sql("DELETE FROM tags;");
      await cluster.converge();
      for (const [at, node] of cluster.nodes.entries()) await node.sql(insert(at + 1));
      await cluster.converge();
      assert.equal(cluster.node(1).count("SELECT count(*) FROM tags"), 3);
    });
    if (!passed) throw new Error(cluster.nodes.map(({ process }) => process.log.tail(5)).join("\n"));
  }
});

Deno.test("a table that is rebuilt statement by statement, on one node after the other, ends alike on all", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  await cluster.node(1).sql("INSERT INTO parts VALUES (1, 'a', 1), (2, 'b', 2);");
  await cluster.converge();
  for (const node of cluster.nodes) {
    await node.sql(
      "CREATE TABLE new_parts (id INTEGER PRIMARY KEY, code TEXT UNIQUE, color TEXT DEFAULT 'red');",
    );
    await node.process.waitForLog(/Triggers installed .*new_parts/);
    await node.sql("INSERT INTO new_parts (id, code) SELECT id, code FROM parts;");
    await node.sql("DROP TABLE parts;");
    await node.sql("ALTER TABLE new_parts RENAME TO parts;");
    // The other has never known `new_parts`, and waits until the registry says that nobody has it any more.
    await flows(cluster, node, cluster.nodes, 30_000);
    // The rebuilt table counts as the one that it replaces, whatever its triggers were called.
    await eventually(
      "its triggers are laid anew",
      () => node.count(IS_FOLLOWED.replace("tags", "parts")) > 5,
    );
  }
  // Not before: what comes for a table between its DROP and the RENAME goes with the old one.
  for (const [index, node] of cluster.nodes.entries()) {
    await node.sql(`INSERT INTO parts (id, code) VALUES (${index + 10}, 'new ${index}');`);
  }
  await cluster.converge();
  assert.equal(cluster.node(1).count("SELECT count(*) FROM parts WHERE color = 'red'"), 4);
  await cluster.node(2).sql("UPDATE parts SET color = 'blue' WHERE id = 1;");
  await cluster.converge();
  assert.deepEqual(cluster.node(1).read("SELECT color FROM parts WHERE id = 1"), [["blue"]]);
});
