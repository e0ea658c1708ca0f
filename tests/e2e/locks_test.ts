import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { startApplication } from "../support/application_process.ts";
import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { JOURNAL_COUNTS, JOURNALED_SCHEMA, sumReports } from "../support/journal.ts";
import { startProcess } from "../support/process.ts";

/** Times that a short-lived program opens the database, writes to it and closes it. */
const VISITS = 40;

/**
 * Whoever closes a file gives up all locks of its process on it, SQLite's among them (https://sqlite.org/howtocorrupt.html,
 * section 2.2). The last program to close a database then is not the last, and takes the WAL away from under the others.
 */
Deno.test("programs that open and close the database beside a node and an application do no harm", async () => {
  await using cluster = await startCluster(2, { schema: JOURNALED_SCHEMA });
  const node = cluster.node(1);
  await using application = await startApplication({ db: node.dbPath, rate: 100, rowsPerTransaction: 2 });
  for (let visit = 1; visit <= VISITS; visit++) {
    await node.sql(`INSERT INTO journal VALUES ('visit ${visit}', 'visit', 'VISIT', ${visit});`);
  }
  const written = sumReports([await application.stop()]);
  assert.equal(written.errors, 0);
  await cluster.converge();
  for (const { dbPath } of cluster.nodes) {
    assert.equal(await cluster.node(1).sql("PRAGMA integrity_check;"), "ok\n", dbPath);
  }
  const [counts] = cluster.node(2).read(JOURNAL_COUNTS);
  assert.deepEqual(counts?.map(Number), [written.inserts, written.updates, written.deletes]);
  assert.equal(cluster.node(2).count("SELECT count(*) FROM journal WHERE operation = 'VISIT'"), VISITS);
});

const PAUSELESS_WRITER = `
  import { DatabaseSync } from "node:sqlite";
  const db = new DatabaseSync(Deno.args[0], { timeout: 60000 });
  console.log("writing");
  for (let n = 0; ; n++) db.exec("INSERT INTO notes (text) VALUES (" + n + ")");`;

Deno.test("a node starts and replicates beside a program that writes without pause with a rollback journal", async () => {
  await using cluster = await startCluster(2, {
    schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  assert.equal(await first.process.kill("SIGTERM"), 0);
  assert.equal(await first.sql("PRAGMA journal_mode = DELETE;"), "delete\n");
  const program = `${first.dbPath}.js`;
  await Deno.writeTextFile(program, PAUSELESS_WRITER);
  {
    const args = ["run", "-A", "--no-config", "--no-lock", program, first.dbPath];
    await using writer = startProcess({ name: "writer", command: Deno.execPath(), args });
    await writer.waitForLog("writing");
    await first.start();
    const arrived = (): number => second.count("SELECT count(*) FROM notes");
    const before = arrived();
    await eventually("rows written meanwhile arrive", () => arrived() > before + 200);
    assert.ok(writer.running, writer.log.tail());
  }
  await cluster.converge();
});

Deno.test("a node that finds a transaction left open when it starts says so, and goes on when it ends", async () => {
  await using cluster = await startCluster(1, {
    schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
    choose: () => ({ started: false }),
  });
  const node = cluster.node(1);
  using application = new DatabaseSync(node.dbPath, { timeout: 10_000 });
  application.exec("BEGIN IMMEDIATE; INSERT INTO notes VALUES (1, 'first');");
  await using process = node.launch();
  await process.waitForLog("database is locked");
  application.exec("COMMIT");
  await process.waitForLog("Caught up with the streams");
  application.exec("INSERT INTO notes VALUES (2, 'second')");
  await eventually("what is written from then on is sent", () => {
    assert.equal(node.pending(), 0);
    assert.equal(node.count('SELECT count(*) FROM "__harmonylite__notes_row_version"'), 1);
  });
  assert.equal(await process.stop(), 0);
});

if (Deno.build.os === "linux") {
  Deno.test("a node keeps SQLite's locks on the database whatever another program does with it", async () => {
    await using cluster = await startCluster(1, { schema: JOURNALED_SCHEMA });
    const node = cluster.node(1);
    for (let visit = 1; visit <= 3; visit++) {
      await node.sql(
        `INSERT INTO journal VALUES ('${visit}', 'visit', 'VISIT', ${visit}); PRAGMA wal_checkpoint;`,
      );
      await eventually("the change is sent", () => node.pending() === 0);
      for (const file of [node.dbPath, `${node.dbPath}-shm`]) {
        assert.ok(holdsLock(node.process.pid, file), `the node has no lock on ${file} after visit ${visit}`);
      }
    }
  });
}

function holdsLock(pid: number, path: string): boolean {
  const { ino } = Deno.statSync(path);
  return Deno.readTextFileSync("/proc/locks").split("\n").some((line) =>
    line.includes(" POSIX ") && line.includes(` ${pid} `) && line.includes(`:${ino} `)
  );
}
