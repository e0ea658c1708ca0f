import assert from "node:assert/strict";
import { startVersatileApplication } from "../support/application_process.ts";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const SCHEMA = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);
  CREATE TABLE codes (id INTEGER PRIMARY KEY, code TEXT UNIQUE);`;
const CHANGE_LOG = "DROP TABLE __harmonylite__notes_change_log;";
/** What a failure may say while something of ours is gone. */
const UNAVOIDABLE = /^no such table: main\.__harmonylite_/;
/** Generous: the machine may be busy. It takes some milliseconds. */
const LONGEST_OUTAGE_MS = 5_000;

/** Names of what is ours in a database. */
function ours(node: ClusterNode, type: "table" | "trigger"): string[] {
  return node.read(
    "SELECT name FROM sqlite_schema WHERE type = ? AND name LIKE '\\_\\_harmonylite%' ESCAPE '\\' ORDER BY name",
    type,
  ).map(([name]) => String(name));
}

function dropAll(type: "table" | "trigger", names: string[]): string {
  return `BEGIN; ${names.map((name) => `DROP ${type} ${name};`).join(" ")} COMMIT;`;
}

let next = 1;

/** Writes on one node, as soon as that works, and waits until it is on the other. */
async function flows(from: ClusterNode, to: ClusterNode): Promise<void> {
  const id = next++;
  await eventually("writing works again", async () => {
    await from.sql(
      `INSERT INTO notes VALUES (${id}, 'after it'); INSERT INTO codes VALUES (${id}, 'code ${id}');`,
    );
  });
  for (const table of ["notes", "codes"]) {
    await eventually(
      `row ${id} of ${table} arrives`,
      () => to.count(`SELECT count(*) FROM ${table} WHERE id = ${id}`) === 1,
    );
  }
}

Deno.test("whatever of ours is dropped by hand while the node runs is there again at once, and replication goes on", async (t) => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    settings: {},
    choose: () => ({ top: { cleanup_interval: 200 } }),
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await using application = await startVersatileApplication(first.dbPath, 1_000_000);
  await flows(first, second);
  const tables = ours(first, "table");
  const triggers = ours(first, "trigger");
  const drops = [
    ...tables.map((name) => ({ name, sql: `DROP TABLE ${name};` })),
    ...triggers.map((name) => ({ name, sql: `DROP TRIGGER ${name};` })),
    { name: "all tables", sql: dropAll("table", tables) },
    { name: "all triggers", sql: dropAll("trigger", triggers) },
  ];
  for (const { name, sql } of drops) {
    const passed = await t.step(name, async () => {
      await first.sql(sql);
      await eventually("all is there again", () => {
        assert.deepEqual(ours(first, "table"), tables);
        assert.deepEqual(ours(first, "trigger"), triggers);
      });
      await flows(second, first);
      await flows(first, second);
    });
    if (!passed) throw new Error(first.process.log.tail());
  }
  const report = await application.stop();
  assert.deepEqual(report.errors.filter((message) => !UNAVOIDABLE.test(message)), []);
  assert.ok(report.longestOutageMs < LONGEST_OUTAGE_MS, JSON.stringify(report));
});

Deno.test("a change log dropped by hand while NATS is away is there again at once, and what else is pending is sent", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await cluster.nats.kill();
  await first.sql("INSERT INTO codes VALUES (100001, 'pending');");
  await first.sql(CHANGE_LOG);
  await eventually("writing works again", async () => {
    await first.sql("INSERT INTO notes VALUES (100002, 'captured');");
  });
  await cluster.nats.start();
  await cluster.converge();
  assert.equal(second.count("SELECT count(*) FROM notes WHERE id = 100002"), 1);
  assert.equal(second.count("SELECT count(*) FROM codes WHERE id = 100001"), 1);
});

Deno.test("the global log dropped by hand loses nothing that is pending", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await cluster.nats.kill();
  const write = (id: number): Promise<string> =>
    first.sql(`INSERT INTO notes VALUES (${id}, 'x'); INSERT INTO codes VALUES (${id}, 'y${id}');`);
  await write(1);
  await first.sql("DROP TABLE __harmonylite___global_change_log;");
  await eventually("writing works again", () => write(2).then(() => {}));
  await first.kill();
  await first.sql("DROP TABLE __harmonylite___global_change_log;");
  await assert.rejects(write(3), /no such table/);
  await cluster.nats.start();
  await first.start();
  await write(3);
  await cluster.converge();
  assert.equal(second.count("SELECT count(*) FROM notes"), 3);
  assert.equal(second.count("SELECT count(*) FROM codes"), 3);
});

Deno.test("everything of ours dropped by hand while the node is stopped: it starts as on the first day", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await flows(first, second);
  await first.kill();
  await first.sql(dropAll("table", ours(first, "table")));
  await first.start();
  await flows(second, first);
  await flows(first, second);
  await cluster.converge();
});
