import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { type Cluster, type ClusterNode, startCluster } from "../support/cluster.ts";
import { assertSameContent } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { ROOT } from "../support/node_process.ts";
import { runProgram } from "../support/process.ts";
import { makeTempDir } from "../support/temp.ts";

/**
 * The recovery procedures of the user's documents, each as the page says it: troubleshooting.md ("Database Corruption",
 * "Recovery from Snapshot Fails", "JetStream Errors", "Recovery Procedures") and faq.md ("How do I recover from database
 * corruption?").
 *
 * Where a page says `systemctl stop` the node gets SIGTERM, as from systemd.
 */
const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, value);";
/** Streams keep so few messages that a backup is soon older than they are. */
const MAX_ENTRIES = 20;
const SETTINGS = {
  replication_log: { max_entries: MAX_ENTRIES, shards: 2 },
  snapshot: { enabled: true, leader_ttl: 2_000 },
};
const RESTORED = "Restored from snapshot";
const ROWS = "SELECT id, text, value FROM notes ORDER BY id";
/** Other tests may have this machine, too. */
const PATIENCE = { timeoutMs: 120_000 };

/** The commands of a page, typed by an operator in the folder of the databases. Returns what they have printed. */
function shell(cluster: Cluster, commands: string): Promise<string> {
  return runProgram("sh", ["-ec", commands], { cwd: cluster.dir });
}

/** `harmonylite …`, likewise. */
function harmonylite(cluster: Cluster, ...args: string[]): Promise<string> {
  return runProgram(Deno.execPath(), ["run", "-A", "--frozen", `${ROOT}main.ts`, ...args], {
    cwd: cluster.dir,
  });
}

function nodesOf(cluster: Cluster): readonly [ClusterNode, ClusterNode] {
  return [cluster.node(1), cluster.node(2)];
}

function assertRestored({ process: { log } }: ClusterNode): void {
  assert.ok(log.has(RESTORED), log.tail(20));
}

/** Writes until the streams have lost all that there was: each row is a message of its own. */
async function truncate(node: ClusterNode, first: number): Promise<void> {
  for (let id = first; id < first + 3 * MAX_ENTRIES; id++) {
    await node.sql(`INSERT INTO notes VALUES (${id}, 'row ${id}', ${id}.5);`);
    await eventually("it was sent", () => node.pending() === 0, { ...PATIENCE, intervalMs: 5 });
  }
}

/** An application that writes a row and dies: `-wal` and `-shm` stay, with a row that the database file has not. */
async function dieWithWal(node: ClusterNode, id: number): Promise<void> {
  const row = `INSERT INTO notes VALUES (${id}, 'in the log of the removed file', 1);`;
  await assert.rejects(runProgram("sqlite3", [node.dbPath, row, ".shell kill -9 $PPID"]));
  assert.ok(Deno.statSync(`${node.dbPath}-wal`).size > 0);
  assert.ok(Deno.statSync(`${node.dbPath}-shm`).size > 0);
}

/** The rows that `held` lists are as they were on both nodes, and each gets what the other writes from now on. */
async function assertNothingLost(cluster: Cluster, held: unknown[][], id: number): Promise<void> {
  const [first, second] = nodesOf(cluster);
  await eventually("it has done what was wished", () => Deno.statSync(mapOf(cluster)).isFile, PATIENCE);
  await first.sql(`INSERT INTO notes VALUES (${id}, 'of the other after it', 1);`);
  await second.sql(`INSERT INTO notes VALUES (${id + 1}, 'of the recovered one after it', 1);`);
  await cluster.converge(PATIENCE);
  const ids = new Set(held.map(([id]) => id));
  assert.deepEqual(second.read(ROWS).filter(([id]) => ids.has(id)), held);
  assert.equal(second.count(`SELECT count(*) FROM notes WHERE id IN (${id}, ${id + 1})`), 2);
  assert.equal(await second.sql("PRAGMA integrity_check;"), "ok\n");
}

function mapOf({ dir }: Cluster): string {
  return `${dir}/node-2-seq-map.cbor`;
}

/** Followed one after the other, in one cluster. */
const PROCEDURES: Readonly<Record<string, (cluster: Cluster) => Promise<void>>> = {
  "Restore from snapshot, with leftovers beside the removed file": fromSnapshot,
  "Recover from backup, one that is older than the streams": fromOldBackup,
  "Recover from backup, one that the streams reach": fromRecentBackup,
  "Recover from backup, copied over the file of a running node": overRunningNode,
  "Try manual restore": byManualRestore,
  "Check sequence map: one that is removed while the node runs forces a recovery": withoutSequenceMap,
  "Full Node Recovery, with its progress in the log file": fullNodeRecovery,
  "Manual Database Repair: what it leaves broken is restored": byManualRepair,
  "Dump and restore into a new file: it takes writes, and the rows of the others stay": byDumpAndRestore,
  "Recreate streams": afterStreamRemoval,
};

Deno.test("each documented recovery procedure brings a node back and loses nothing that others hold", async (t) => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    settings: SETTINGS,
    choose: () => ({ top: { cleanup_interval: 500 } }),
  });
  await backUp(cluster);
  for (const [page, follow] of Object.entries(PROCEDURES)) await t.step(page, () => follow(cluster));
});

/** A backup of the second node from days ago, with a change in it that was sent only after it. */
async function backUp(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  await first.sql("INSERT INTO notes VALUES (1, 'first', x'00ff'), (2, 'deleted since the backup', 2);");
  await cluster.converge(PATIENCE);
  assert.equal(await second.stop(), 0);
  await second.sql("INSERT INTO notes VALUES (3, 'pending in the backup', 3);");
  await shell(cluster, `sqlite3 node-2.db ".backup backup.db"`);
  await second.start();
  await cluster.converge(PATIENCE);
  await first.sql("UPDATE notes SET text = 'changed since the backup' WHERE id = 3;");
  await second.sql(
    "DELETE FROM notes WHERE id = 2; INSERT INTO notes VALUES (4, 'own, since the backup', 4);",
  );
  await cluster.converge(PATIENCE);
}

async function fromSnapshot(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  for (const [index, map] of ["kept", "removed"].entries()) {
    await truncate(first, 1_000 + index * 100);
    await cluster.converge(PATIENCE);
    const held = first.read(ROWS);
    await stopByCommand(second);
    await dieWithWal(second, 90 + index);
    await shell(cluster, `rm node-2.db`);
    if (map === "removed") await shell(cluster, "rm node-2-seq-map.cbor"); // As faq.md says.
    await second.start();
    assertRestored(second);
    await assertNothingLost(cluster, held, 100 + index * 10);
    assert.equal(second.count("SELECT count(*) FROM notes WHERE id IN (90, 91)"), 0);
  }
}

async function stopByCommand(node: ClusterNode): Promise<void> {
  await using stopping = node.command(["-stop"]);
  assert.equal(await stopping.exited, 0, stopping.log.tail());
  assert.equal(await node.process.exited, 0);
}

async function fromOldBackup(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  await truncate(first, 1_200);
  await cluster.converge(PATIENCE);
  const held = first.read(ROWS);
  assert.equal(await second.stop(), 0);
  await shell(cluster, "cp backup.db node-2.db; rm node-2-seq-map.cbor");
  await second.start();
  assertRestored(second);
  await assertNothingLost(cluster, held, 120);
  assert.equal(second.count("SELECT count(*) FROM notes WHERE id = 2"), 0);
}

async function fromRecentBackup(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  await shell(cluster, `sqlite3 node-2.db ".timeout 60000" ".backup recent.db"`);
  await second.sql("UPDATE notes SET text = 'own, since the recent backup' WHERE id = 4;");
  await first.sql("INSERT INTO notes VALUES (5, 'of the other, since the recent backup', 5);");
  await cluster.converge(PATIENCE);
  const held = first.read(ROWS);
  assert.equal(await second.stop(), 0);
  await shell(cluster, "cp recent.db node-2.db; rm node-2-seq-map.cbor");
  await second.start();
  await assertNothingLost(cluster, held, 130);
}

/**
 * The page has no step that stops the node. What SQLite makes of such a file is anything, also one that looks sound, has the
 * right positions, and lacks rows.
 */
async function overRunningNode(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  await shell(cluster, `sqlite3 node-2.db ".timeout 60000" ".backup recent.db"`);
  // The schema of the copy is another one to the connections that read it anew.
  await second.sql("CREATE TABLE passing (id); DROP TABLE passing;");
  await first.sql("DELETE FROM notes WHERE id = 5;");
  await truncate(first, 1_400);
  await cluster.converge(PATIENCE);
  await second.sql("PRAGMA wal_checkpoint(TRUNCATE);");
  await shell(cluster, "cp recent.db node-2.db; rm -f node-2-seq-map.cbor");
  await first.sql("INSERT INTO notes VALUES (11, 'of the other, after the copy', 11);");
  await eventually("it was sent", () => first.pending() === 0, PATIENCE);
  const held = first.read(ROWS);
  await second.stop(); // With an error, perhaps.
  await second.start();
  await assertNothingLost(cluster, held, 136);
  assert.equal(second.count("SELECT count(*) FROM notes WHERE id = 5"), 0);
}

async function byManualRestore(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  await harmonylite(cluster, "-config", "node-2.toml", "snapshot", "download", "--output", "latest.db");
  await truncate(second, 1_300);
  await cluster.converge(PATIENCE);
  const held = first.read(ROWS);
  assert.equal(await second.stop(), 0);
  await shell(cluster, "cp latest.db node-2.db; rm node-2-seq-map.cbor");
  await second.start();
  assertRestored(second);
  await assertNothingLost(cluster, held, 140);
}

async function withoutSequenceMap(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  await shell(cluster, "rm node-2-seq-map.cbor");
  await second.sql("INSERT INTO notes VALUES (6, 'after the map was removed', 6);");
  await cluster.converge(PATIENCE);
  assert.equal(await second.stop(), 0);
  assert.throws(() => Deno.statSync(mapOf(cluster)), Deno.errors.NotFound);
  await second.sql("INSERT INTO notes VALUES (7, 'pending', 7);");
  await first.sql("INSERT INTO notes VALUES (8, 'in the next snapshot', 8);");
  await eventually("it was sent", () => first.pending() === 0, PATIENCE);
  await harmonylite(cluster, "-config", "node-1.toml", "-save-snapshot");
  const held = first.read(ROWS);
  await second.start();
  assertRestored(second);
  await assertNothingLost(cluster, held, 150);
  assert.equal(first.count("SELECT count(*) FROM notes WHERE id = 7"), 1);
}

async function fullNodeRecovery(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  const held = first.read(ROWS);
  assert.equal(await second.stop(), 0);
  await shell(cluster, "rm node-2.db; rm node-2-seq-map.cbor");
  const file = `${cluster.dir}/harmonylite.log`;
  await second.start({ settings: { ...second.options.settings, logging: { file } } });
  await assertNothingLost(cluster, held, 160);
  const steps = (await shell(cluster, `grep "snapshot" harmonylite.log`)).trim().split("\n");
  const told = ["looking for a snapshot", "Restoring from snapshot", RESTORED].map((text) =>
    steps.findIndex((line) => line.includes(text))
  );
  assert.ok(told[0]! >= 0 && told[0]! < told[1]! && told[1]! < told[2]!, steps.join("\n"));
}

async function byManualRepair(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  const held = first.read(ROWS);
  assert.equal(await second.stop(), 0);
  await damage(second);
  const before = brokenFiles(cluster);
  await repairByHand(cluster);
  await second.start();
  assertRestored(second);
  await assertNothingLost(cluster, held, 170);
  assert.equal(brokenFiles(cluster), before + 1);
}

async function byDumpAndRestore(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  const held = first.read(ROWS);
  assert.equal(await second.stop(), 0);
  await shell(
    cluster,
    `echo .schema | sqlite3 node-2.db | grep -v sqlite_sequence > schema.sql
     sqlite3 node-2.db ".mode insert notes" "SELECT * FROM notes WHERE id >= 1000;" > data.sql
     rm node-2.db node-2-seq-map.cbor
     sqlite3 -bail node-2.db < schema.sql
     sqlite3 -bail node-2.db < data.sql
     sqlite3 -bail node-2.db "INSERT INTO notes VALUES (9, 'into the repaired file', 9);"`,
  );
  await second.start();
  await assertNothingLost(cluster, held, 180);
  assert.equal(first.count("SELECT count(*) FROM notes WHERE id = 9"), 1);
}

async function afterStreamRemoval(cluster: Cluster): Promise<void> {
  const [first, second] = nodesOf(cluster);
  assert.equal(await second.stop(), 0);
  await first.sql("UPDATE notes SET text = 'not read when the stream went' WHERE id < 10;");
  await second.sql("INSERT INTO notes VALUES (10, 'pending when the stream went', 1);");
  await eventually("it was sent", () => first.pending() === 0, PATIENCE);
  const held = first.read(ROWS);
  // `nats stream rm harmonylite-changes-1`, by the API that it calls; with `compress` the name has a `c`.
  const connection = await connect({ servers: cluster.nats.url });
  assert.ok(await (await jetstreamManager(connection)).streams.delete("harmonylite-changes-c-1"));
  await connection.close();
  assert.equal(await first.stop(), 0);
  await Promise.all([first.start(), second.start()]);
  await assertNothingLost(cluster, held, 190);
  assert.equal(first.count("SELECT count(*) FROM notes WHERE id = 10"), 1);
}

/** How many broken files were kept. */
function brokenFiles(cluster: Cluster): number {
  return [...Deno.readDirSync(cluster.dir)].filter(({ name }) => /broken-\d+T\d+Z$/.test(name)).length;
}

/**
 * Word for word. It dumps rows of `sqlite_master`, not of the tables, and loads them into the file that is still there: all
 * of that fails, and the file stays broken.
 */
async function repairByHand(cluster: Cluster): Promise<void> {
  await shell(
    cluster,
    `set +e
cp node-2.db node-2.db.bak
sqlite3 node-2.db "PRAGMA integrity_check;" > verdict.txt 2>&1
echo .schema | sqlite3 node-2.db.bak > schema.sql
sqlite3 node-2.db.bak <<EOF
.mode insert
.output data.sql
SELECT * FROM sqlite_master WHERE type='table' AND name NOT LIKE '__harmonylite%';
.quit
EOF
sqlite3 node-2.db < schema.sql
sqlite3 node-2.db < data.sql
rm node-2-seq-map.cbor`,
  );
  assert.notEqual(Deno.readTextFileSync(`${cluster.dir}/verdict.txt`), "ok\n");
  assert.match(Deno.readTextFileSync(`${cluster.dir}/schema.sql`), /CREATE TABLE notes/);
}

/** Breaks the rows of the table, not the schema: the page's `.schema` has to work. */
async function damage(node: ClusterNode): Promise<void> {
  await node.sql("PRAGMA wal_checkpoint(TRUNCATE);");
  const page = Number(await node.sql("SELECT rootpage FROM sqlite_master WHERE name = 'notes';"));
  const pageSize = Number(await node.sql("PRAGMA page_size;"));
  using file = await Deno.open(node.dbPath, { write: true });
  await file.seek((page - 1) * pageSize, Deno.SeekMode.Start);
  await file.write(new Uint8Array(pageSize).fill(0x5a));
}

Deno.test("nodes without a file restore the snapshot that the Go original has left, and go on", async () => {
  await using folder = await makeTempDir();
  const golden = `${ROOT}tests/golden/snapshot.db`;
  const original = folder.file("original.db");
  await Deno.copyFile(golden, original);
  await Deno.copyFile(golden, folder.file("snapshot.db"));
  await using cluster = await startCluster(2, {
    schema: "",
    settings: { snapshot: { enabled: true, store: "file" }, "snapshot.file": { path: folder.path } },
    choose: () => ({ started: false }),
  });
  const [first, second] = nodesOf(cluster);
  for (const node of cluster.nodes) {
    await shell(cluster, `rm -f ${node.dbPath}*`);
    await node.start();
    assertRestored(node);
    assertSameContent([original, node.dbPath]);
  }
  await first.sql(
    "UPDATE kinds SET t = 'changed here' WHERE id = 1; DELETE FROM composite; INSERT INTO nokey VALUES ('more');",
  );
  await second.sql(
    "UPDATE kinds SET t = 'changed there' WHERE id = 2; INSERT INTO norowid VALUES ('key', x'00');",
  );
  await cluster.converge(PATIENCE);
  assert.deepEqual(first.read("SELECT t FROM kinds WHERE id IN (1, 2) ORDER BY id").flat(), [
    "changed here",
    "changed there",
  ]);
  assert.deepEqual(second.read("SELECT v FROM nokey WHERE v = 'more'"), [["more"]]);
});
