import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { type Cluster, type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, value);";
/** A stream keeps so few messages that whoever is away for a moment needs a snapshot. */
const MAX_ENTRIES = 40;
const SETTINGS = {
  replication_log: { max_entries: MAX_ENTRIES, shards: 2 },
  snapshot: { enabled: true, leader_ttl: 2_000 },
};

/** Each row in a message of its own. */
async function writeApart(node: ClusterNode, first: number, count: number): Promise<void> {
  for (let id = first; id < first + count; id++) {
    await node.sql(`INSERT INTO notes VALUES (${id}, 'row ${id}', ${id}.5);`);
    await eventually("it was sent", () => node.pending() === 0, { intervalMs: 5 });
  }
}

/** Writes until the streams have lost all that there was. */
async function truncate(node: ClusterNode, first: number): Promise<void> {
  await writeApart(node, first, 3 * MAX_ENTRIES);
}

async function snapshotSaved(cluster: Cluster): Promise<void> {
  await eventually(
    "a snapshot was taken",
    () => cluster.nodes.some((node) => isStarted(node) && node.process.log.has("Snapshot saved")),
    { timeoutMs: 30_000 },
  );
}

function isStarted(node: ClusterNode): boolean {
  try {
    return node.process !== undefined;
  } catch {
    return false; // It throws for a node that was not started.
  }
}

/** The database and what SQLite keeps beside it. */
async function removeFiles(path: string): Promise<void> {
  const folder = path.slice(0, path.lastIndexOf("/"));
  for await (const { name } of Deno.readDir(folder)) {
    const file = `${folder}/${name}`;
    if ([path, `${path}-wal`, `${path}-shm`].includes(file)) await Deno.remove(file);
  }
}

Deno.test("a node that was away, was stopped short, lost its file or joins comes back by a snapshot", async (t) => {
  await using cluster = await startCluster(3, {
    schema: SCHEMA,
    settings: SETTINGS,
    choose: (id) => ({ started: id !== 3 }),
  });
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  const both = [first, second];
  await first.sql("INSERT INTO notes VALUES (1, 'first', x'00ff');");
  await snapshotSaved(cluster);

  await t.step("away while the streams were truncated, with changes of its own to send", async () => {
    assert.equal(await second.stop(), 0);
    await second.sql(
      "INSERT INTO notes VALUES (900, 'written while away', NULL); UPDATE notes SET text = 'changed while away' WHERE id = 1;",
    );
    await truncate(first, 100);
    await second.start();
    assert.ok(second.process.log.has("Restored from snapshot"), second.process.log.tail(20));
    await cluster.converge({ nodes: both });
    assert.deepEqual(first.read("SELECT text FROM notes WHERE id IN (1, 900) ORDER BY id").flat(), [
      "changed while away",
      "written while away",
    ]);
  });

  await t.step("asleep while they were truncated: without a restart", async () => {
    Deno.kill(second.process.pid, "SIGSTOP");
    await second.sql("INSERT INTO notes VALUES (901, 'written while it slept', 1);");
    await truncate(first, 300);
    Deno.kill(second.process.pid, "SIGCONT");
    await cluster.converge({ nodes: both });
    assert.equal(first.count("SELECT count(*) FROM notes WHERE id = 901"), 1);
  });

  await t.step("its file removed, and the sequence map with it or not", async () => {
    for (const withMap of [true, false]) {
      assert.equal(await second.stop(), 0);
      await removeFiles(second.dbPath);
      if (!withMap) await Deno.remove(`${cluster.dir}/node-2-seq-map.cbor`);
      await second.start();
      assert.ok(second.process.log.has("Restored from snapshot"), second.process.log.tail(20));
      await second.sql(`INSERT INTO notes VALUES (${withMap ? 910 : 911}, 'after the loss', 1);`);
      await cluster.converge({ nodes: both });
    }
  });

  await t.step("its file damaged: the broken one is kept", async () => {
    assert.equal(await second.stop(), 0);
    await second.sql("PRAGMA wal_checkpoint(TRUNCATE);");
    const file = await Deno.open(second.dbPath, { write: true });
    await file.seek(4096, Deno.SeekMode.Start);
    await file.write(new Uint8Array(40_000).fill(0x5a));
    file.close();
    await second.start();
    await cluster.converge({ nodes: both });
    const kept = [...Deno.readDirSync(cluster.dir)].map(({ name }) => name).filter((name) =>
      /broken-\d/.test(name)
    );
    assert.equal(kept.length, 1, kept.join());
  });

  await t.step("one that joins with nothing but a configuration", async () => {
    await removeFiles(third.dbPath);
    await third.start();
    await third.sql("INSERT INTO notes VALUES (920, 'from the new one', 1);");
    await cluster.converge();
  });
});

Deno.test("a node that joins with rows of its own loses none of them, and the others get them", async () => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    settings: SETTINGS,
    choose: (id) => ({ started: id === 1 }),
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO notes VALUES (1, 'of the cluster', 1), (2, 'of the cluster', 2);");
  await snapshotSaved(cluster);
  await truncate(first, 100);
  await second.sql("INSERT INTO notes VALUES (1, 'of its own', 1), (5, 'of its own alone', 5);");
  await second.start();
  await cluster.converge();
  assert.deepEqual(first.read("SELECT text FROM notes WHERE id < 10 ORDER BY id").flat(), [
    "of the cluster",
    "of the cluster",
    "of its own alone",
  ]);
  const lost = second.read("SELECT row FROM __harmonylite___conflict_log").flat().join();
  assert.match(lost, /of its own/);
});

Deno.test("without a file and without a snapshot a node says so and ends", async () => {
  await using cluster = await startCluster(1, {
    schema: SCHEMA,
    settings: { snapshot: { enabled: true } },
    choose: () => ({ started: false }),
  });
  const node = cluster.node(1);
  await removeFiles(node.dbPath);
  await using process = node.launch();
  assert.equal(await process.exited, 1);
  assert.ok(
    process.log.has("there is no such file, and there is no snapshot to restore"),
    process.log.tail(9),
  );
  await Deno.writeTextFile(node.dbPath, "this is no database, and it stays as it is".repeat(100));
  await using other = node.launch();
  assert.equal(await other.exited, 1);
  assert.ok(other.log.has("not a SQLite file"), other.log.tail(9));
  assert.match(await Deno.readTextFile(node.dbPath), /^this is no database/);
});

Deno.test("a node that is killed again and again while it merges, and whose application writes on, loses nothing", async () => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    settings: { ...SETTINGS, replication_log: { ...SETTINGS.replication_log, max_transaction_rows: 500 } },
  });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await second.stop();
  await first.sql(
    `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 20000)
     INSERT INTO notes SELECT i, 'row ' || i, i FROM n;`,
  );
  await eventually("all was sent", () => first.pending() === 0, { timeoutMs: 30_000 });
  await truncate(first, 100_000);
  let own = 0;
  const write = (): Promise<string> => second.sql(`INSERT INTO notes VALUES (${500_000 + own++}, 'own', 1);`);
  for (const delayMs of [20, 60, 120, 200, 350]) {
    const process = second.launch();
    try {
      await process.waitForLog("Restoring from snapshot");
      await write();
      await new Promise((resolve) => setTimeout(resolve, delayMs));
    } finally {
      await process.kill("SIGKILL");
      await process[Symbol.asyncDispose]();
    }
    await write();
  }
  await second.start();
  await cluster.converge();
  assert.equal(first.count("SELECT count(*) FROM notes WHERE text = 'own'"), own);
  assert.equal(second.count("SELECT count(*) FROM notes WHERE id <= 20000"), 20_000);
});

Deno.test("a database can be had as it was at a moment between snapshots", async () => {
  await using cluster = await startCluster(1, {
    schema: SCHEMA,
    settings: { replication_log: { max_entries: 1_000, shards: 2 }, snapshot: { enabled: true } },
  });
  const node = cluster.node(1);
  await node.sql("INSERT INTO notes VALUES (1, 'before', 1);");
  await snapshotSaved(cluster);
  const tooEarly = new Date(Date.now() - 60_000).toISOString();
  await writeApart(node, 10, 5);
  await node.sql("UPDATE notes SET text = 'changed' WHERE id = 1; DELETE FROM notes WHERE id = 11;");
  await eventually("all was sent", () => node.pending() === 0);
  const moment = new Date(Date.now() + 1).toISOString();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await node.sql("DELETE FROM notes; INSERT INTO notes VALUES (99, 'a mistake', 1);");
  await eventually("that was sent, too", () => node.pending() === 0);
  const output = `${cluster.dir}/as-it-was.db`;
  const restore = async (until: string): Promise<number> => {
    await using command = node.command(["snapshot", "restore", "--until", until, "--output", output]);
    return await command.exited;
  };
  assert.equal(await restore(moment), 0);
  using db = new DatabaseSync(output, { readOnly: true });
  assert.deepEqual(
    db.prepare("SELECT id, text FROM notes ORDER BY id").all().map((row) => Object.values(row)),
    [
      [1, "changed"],
      [10, "row 10"],
      [12, "row 12"],
      [13, "row 13"],
      [14, "row 14"],
    ],
  );
  assert.deepEqual(db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all(), []);
  assert.equal(node.count("SELECT id FROM notes"), 99, "the live one is as it was");
  await Deno.remove(output);
  assert.equal(await restore(tooEarly), 1);
});

Deno.test("streams that were removed come back with all that any node had read of them", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA, settings: SETTINGS });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO notes VALUES (1, 'x', 1), (2, 'x', 2), (3, 'x', 3);");
  await cluster.converge();
  await second.kill();
  await writeApart(first, 10, 5);
  await first.sql("DELETE FROM notes WHERE id = 2; UPDATE notes SET text = 'newer' WHERE id = 3;");
  await second.sql("INSERT INTO notes VALUES (50, 'while the streams were away', 1);");
  await eventually("all was sent", () => first.pending() === 0);
  await removeStreams(cluster, ["harmonylite-changes-c-1", "harmonylite-changes-c-2"]);
  await second.start();
  await first.sql("INSERT INTO notes VALUES (60, 'after it', 1);");
  await eventually("all is there", () => {
    assert.deepEqual(
      second.read("SELECT id, text FROM notes ORDER BY id"),
      first.read("SELECT id, text FROM notes ORDER BY id"),
    );
    assert.equal(second.count("SELECT count(*) FROM notes"), 9);
  }, { timeoutMs: 30_000 });
  await cluster.converge();
});

async function removeStreams(cluster: Cluster, names: readonly string[]): Promise<void> {
  const connection = await connect({ servers: cluster.nats.url });
  const manager = await jetstreamManager(connection);
  for (const name of names) await manager.streams.delete(name);
  await connection.close();
}
