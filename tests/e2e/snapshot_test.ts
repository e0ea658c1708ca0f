import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { connect } from "@nats-io/transport-node";
import { requestSnapshot } from "../../src/agent/snapshots.ts";
import { NatsPeers } from "../../src/stream/nats_peers.ts";
import { APPLICATION_SCHEMA } from "../support/application.ts";
import { startApplication } from "../support/application_process.ts";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import type { NodeOptions, Settings } from "../support/node_process.ts";
import type { TestProcess } from "../support/process.ts";
import { makeTempDir, type TempDir } from "../support/temp.ts";

const SAVED = "Snapshot saved";

/** A folder as the store. */
function inFolder(folder: TempDir, snapshot: Settings = {}): Readonly<Record<string, Settings>> {
  return {
    snapshot: { enabled: true, store: "file", leader_ttl: 3_000, ...snapshot },
    "snapshot.file": { path: folder.path },
  };
}

interface Ended {
  readonly code: number;
  /** Standard output. */
  readonly text: string;
  readonly log: string;
}

async function call(node: ClusterNode, words: string, options: Partial<NodeOptions> = {}): Promise<Ended> {
  await using process = node.command(words.split(" "), options);
  const code = await process.exited;
  return { code, text: process.output.lines.join("\n"), log: process.log.tail(40) };
}

/** A command that must succeed, and its JSON. */
async function json(node: ClusterNode, words: string): Promise<ReturnType<typeof JSON.parse>> {
  const { code, text, log } = await call(node, `${words} --json`);
  assert.equal(code, 0, log);
  return JSON.parse(text);
}

function saved({ log }: TestProcess): number {
  return log.lines.filter((line) => line.includes(SAVED)).length;
}

async function firstSnapshot(nodes: readonly ClusterNode[]): Promise<void> {
  await eventually("the first snapshot is there", () => nodes.some(({ process }) => saved(process) > 0));
}

function lines(path: string, query: string): string[] {
  using db = new DatabaseSync(path);
  return db.prepare(query).all().map((row) => Object.values(row).join("|"));
}

function filesOf(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

Deno.test("snapshots are saved by hand while applications write without pause, and every command works with them", async () => {
  await using folder = await makeTempDir();
  await using cluster = await startCluster(2, { schema: APPLICATION_SCHEMA, settings: inFolder(folder) });
  const [first, second] = cluster.nodes as [ClusterNode, ClusterNode];
  await firstSnapshot(cluster.nodes);

  await using one = await startApplication({ db: first.dbPath, seed: 1, rate: 400 });
  await using other = await startApplication({ db: second.dbPath, seed: 2, rate: 400, firstId: 1_000_000 });
  const taken = [
    await json(first, "snapshot save"),
    await json(first, "-save-snapshot"),
    await json(second, "snapshot save"),
  ];
  for (const application of [one, other]) {
    const { errors, lastError, transactions } = await application.stop();
    assert.equal(errors, 0, String(lastError));
    assert.ok(transactions > 100);
  }
  const sequences = taken.map(({ positions }) => positions[0].sequence);
  assert.deepEqual(sequences, sequences.toSorted((a, b) => a - b));
  assert.deepEqual(taken.map(({ node }) => node), ["1", "1", "2"]);

  const newest = folder.file("snapshot.db");
  const own = lines(
    newest,
    "SELECT name FROM sqlite_schema WHERE type <> 'index' AND name LIKE '\\_\\_harmonylite%' ESCAPE '\\'",
  );
  assert.deepEqual(own.filter((name) => /change_log|quarantine|conflict|_node$/.test(name)), []);
  assert.deepEqual(lines(newest, "SELECT name FROM sqlite_schema WHERE type = 'trigger'"), []);
  assert.deepEqual(lines(newest, "PRAGMA integrity_check"), ["ok"]);
  assert.ok(Number(lines(newest, "SELECT count(*) FROM customers")[0]) > 10);
  assert.equal(filesOf(folder.path).length, 4, "three are kept, and their list");

  await listAndVerify(first, folder);
  await downloadAndRestore(first, newest, cluster.dir);
});

/** With three generations in the store. */
async function listAndVerify(node: ClusterNode, folder: TempDir): Promise<void> {
  const all = await json(node, "snapshot list");
  assert.deepEqual(all.map(({ generation }: { generation: number }) => generation), [1, 2, 3]);
  const { text } = await call(node, "snapshot");
  for (const { name, positions: [position] } of all) {
    assert.ok(text.includes(name) && text.includes(`${position.stream} at ${position.sequence}`), text);
  }
  assert.match(text, /^1 .* UTC {2}\d+ s ago {2}\d.* {2}node 2 {2}snapshot-/);
  const whole = await call(node, "snapshot verify");
  assert.equal(whole.code, 0, whole.log);
  assert.equal(whole.text.match(/ whole$/gm)?.length, 3);

  const oldest = folder.file(all[2].name);
  const bytes = Deno.readFileSync(oldest);
  bytes[bytes.length - 1]! ^= 1;
  Deno.writeFileSync(oldest, bytes);
  const altered = await call(node, "snapshot verify --json");
  assert.equal(altered.code, 1);
  assert.deepEqual(JSON.parse(altered.text).map(({ whole }: { whole: boolean }) => whole), [
    true,
    true,
    false,
  ]);
  assert.equal((await call(node, "snapshot verify --generation 2")).code, 0);
  const failed = await call(node, `snapshot download --generation 3 --output ${folder.file("never.db")}`);
  assert.equal(failed.code, 1);
  assert.match(failed.log, /its SHA-256 is not the one that is listed/);
  assert.ok(!filesOf(folder.path).some((name) => name.startsWith("never")));
}

async function downloadAndRestore(node: ClusterNode, newest: string, dir: string): Promise<void> {
  const output = `${dir}/copy.db`;
  assert.equal((await json(node, `snapshot download --output ${output}`)).output, output);
  assert.deepEqual(Deno.readFileSync(output), Deno.readFileSync(newest));
  const again = `snapshot restore --generation 2 --output ${output}`;
  assert.match((await call(node, again)).log, /there is such a file already[\s\S]*--force/);
  assert.equal((await call(node, `${again} --force`)).code, 0);
  assert.deepEqual(lines(output, "PRAGMA integrity_check"), ["ok"]);
  Deno.writeTextFileSync(`${output}-wal`, "of another database");
  assert.match((await call(node, `${again} --force`)).log, /copy\.db-wal" is there/);
  const live = await call(node, `snapshot restore --generation 1 --output ${node.dbPath} --force`);
  assert.equal(live.code, 1);
  assert.match(live.log, /it is the database of this node/);
  assert.match((await call(node, `snapshot restore --generation 9 --output ${dir}/no.db`)).log, /3 are kept/);
  assert.deepEqual(filesOf(dir).filter((name) => name.endsWith(".part")), []);
}

Deno.test("a snapshot is saved without a running node, which sends what is pending, and refused where it would be wrong", async () => {
  await using folder = await makeTempDir();
  await using cluster = await startCluster(2, { schema: APPLICATION_SCHEMA, settings: inFolder(folder) });
  const [first, second] = cluster.nodes as [ClusterNode, ClusterNode];
  await firstSnapshot(cluster.nodes);
  await first.stop();
  await first.sql("INSERT INTO customers (id, name) VALUES (1, 'pending');");
  assert.equal((await call(first, "-save-snapshot")).code, 0);
  assert.deepEqual(lines(folder.file("snapshot.db"), "SELECT name FROM customers"), ["pending"]);
  await eventually("it was sent", () => assert.deepEqual(second.read("SELECT id FROM customers"), [[1n]]));

  await second.sql("INSERT INTO customers (id, name) VALUES (2, 'later');");
  await eventually("it was sent", () => second.pending() === 0);
  assert.equal((await call(second, "snapshot save")).code, 0);
  const behind = await call(first, "snapshot save");
  assert.equal(behind.code, 1);
  assert.match(
    behind.log,
    /Unable to save snapshot reason="?Failed to upload snapshot: Cannot keep this snapshot: it is at/,
  );
  assert.equal((await json(first, "snapshot list"))[0].node, "2");

  for (const key of ["publish", "replicate"]) {
    const refused = await call(first, "snapshot save", { top: { [key]: false } });
    assert.equal(refused.code, 1);
    assert.match(refused.log, new RegExp(`Cannot take a snapshot: this node has ${key} = false`));
  }
  const settings = { ...first.options.settings, snapshot: { enabled: false } };
  assert.match((await call(first, "snapshot list", { settings })).log, /snapshot\.enabled is false/);
});

Deno.test("one node is in charge, takes one when asked, and is replaced within leader_ttl when it is killed", async () => {
  const ttlMs = 4_000;
  await using cluster = await startCluster(3, {
    schema: APPLICATION_SCHEMA,
    settings: { snapshot: { enabled: true, leader_ttl: ttlMs } },
    choose: (id) => id === 3 ? { top: { publish: false } } : {},
  });
  await firstSnapshot(cluster.nodes);
  const leader = cluster.nodes.find(({ process }) => saved(process) > 0)!;
  const others = cluster.nodes.filter((node) => node !== leader);

  const connection = await connect({ servers: cluster.nats.url });
  const ask = (): Promise<boolean> =>
    requestSnapshot(new NatsPeers(connection, "harmonylite-change-log"), new AbortController().signal);
  assert.equal(await ask(), true);
  await eventually("it has taken another", () => saved(leader.process) === 2);
  assert.deepEqual(others.map(({ process }) => saved(process)), [0, 0]);

  const killed = performance.now();
  await leader.kill();
  await eventually("another is in charge", ask, { timeoutMs: 30_000 });
  // With slack for a machine that is busy; a node with publish = false is never in charge.
  assert.ok(performance.now() - killed < ttlMs + 3_000, `${performance.now() - killed} ms`);
  const heir = others.find(({ options }) => options.nodeId !== 3)!;
  await eventually("it has taken one", () => saved(heir.process) === 1);
  assert.equal(saved(cluster.node(3).process), 0);
  await connection.close();

  const stopped = performance.now();
  assert.equal(await heir.stop(), 0);
  await leader.start({
    settings: { ...leader.options.settings, snapshot: { enabled: true, leader_ttl: 60_000, interval: 500 } },
  });
  await eventually("a lease that was given back is free", () => saved(leader.process) > 1);
  assert.ok(performance.now() - stopped < 40_000);
});

Deno.test("snapshots come when a stream has moved on, whoever wrote, as often as the interval says, and as many as are kept", async () => {
  await using folder = await makeTempDir();
  await using cluster = await startCluster(2, {
    schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
    settings: { ...inFolder(folder, { keep: 2 }), replication_log: { max_entries: 40 } },
  });
  await firstSnapshot(cluster.nodes);
  const leader = cluster.nodes.find(({ process }) => saved(process) > 0)!;
  const writer = cluster.nodes.find((node) => node !== leader)!;
  const last = (): number => Number(leader.positions().get(1) ?? 0);
  for (let id = 1; last() < 15; id++) await writer.sql(`INSERT INTO notes VALUES (${id}, 'a');`);
  const before = saved(leader.process);
  for (let id = 101; last() < 25; id++) await writer.sql(`INSERT INTO notes VALUES (${id}, 'a');`);
  await eventually("the stream has moved on by half of max_entries", () => saved(leader.process) > before);
  assert.equal(before, 1, "and not before");
  assert.ok((await json(leader, "snapshot list"))[0].positions[0].sequence >= 20);

  await cluster.nodes.reduce((done, node) => done.then(() => node.stop()), Promise.resolve(0));
  await leader.start({
    settings: { ...leader.options.settings, ...inFolder(folder, { keep: 2, interval: 1_000 }) },
  });
  await eventually("one came each second", () => saved(leader.process) >= 3);
  assert.equal(filesOf(folder.path).filter((name) => name.endsWith(".db")).length, 2);

  await Deno.remove(folder.path, { recursive: true });
  const line = await leader.process.waitForLog("Unable to save snapshot");
  assert.match(
    line,
    /ERROR .* reason="Failed to create snapshot: Cannot .* there is no such folder" hint=".*mount/,
  );
  await Deno.mkdir(folder.path);
  const until = saved(leader.process);
  await eventually("the next attempt follows", () => saved(leader.process) > until);
});

Deno.test("two clusters with two prefixes share a server and a folder", async () => {
  await using folder = await makeTempDir();
  await using cluster = await startCluster(2, {
    schema: "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);",
    settings: inFolder(folder),
    choose: (id) =>
      id === 2 ? { settings: { nats: { stream_prefix: "shop", subject_prefix: "shop-log" } } } : {},
  });
  await eventually("each has its own", () => cluster.nodes.every(({ process }) => saved(process) === 1));
  for (const node of cluster.nodes) {
    const all = await json(node, "snapshot list");
    assert.deepEqual(all.map((each: { node: string }) => each.node), [String(node.options.nodeId)]);
  }
  const names = ["shop-snapshot.db", "shop-snapshot.json", "snapshot.db", "snapshot.json"];
  assert.deepEqual(filesOf(folder.path), names);
});

Deno.test("a save that is killed in any of its phases leaves the snapshot before whole, and nothing that stays", async () => {
  await using folder = await makeTempDir();
  await using cluster = await startCluster(1, {
    schema: `CREATE TABLE blobs (id INTEGER PRIMARY KEY, data BLOB);
      WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 64)
      INSERT INTO blobs SELECT id, randomblob(1 << 20) FROM n;`,
    settings: inFolder(folder),
  });
  const node = cluster.node(1);
  await firstSnapshot(cluster.nodes);
  const [before] = await json(node, "snapshot list");
  const copyPath = `${node.dbPath}-harmonylite.snapshot`;
  const has = (path: string): boolean => {
    try {
      return Deno.statSync(path).size > 0;
    } catch { // It is not there.
      return false;
    }
  };
  const isUploading = (): boolean => filesOf(folder.path).some((name) => name.endsWith(".part"));
  const phases: Record<string, () => boolean> = {
    copying: () => has(copyPath),
    sending: () => has(copyPath) && Deno.statSync(copyPath).size > 64 << 20 && !isUploading(),
    uploading: isUploading,
  };
  for (const [phase, isReached] of Object.entries(phases)) {
    if (phase === "sending") {
      node.process.signal("SIGSTOP");
      await node.sql("INSERT INTO blobs VALUES (1000, x'00');");
    }
    await using saving = node.command(["snapshot", "save"]);
    await eventually(`it is ${phase}`, isReached, { intervalMs: 1 });
    await saving.kill("SIGKILL");
    assert.ok(!saving.log.has(SAVED), phase);
    node.process.signal("SIGCONT");
    assert.deepEqual((await json(node, "snapshot list"))[0].name, before.name, phase);
    assert.equal((await call(node, "snapshot verify")).code, 0, phase);
  }
  const next = await json(node, "snapshot save");
  assert.equal(next.node, "1");
  assert.deepEqual(filesOf(folder.path), [before.name, "snapshot.db", "snapshot.json"]);
  assert.ok(!has(copyPath));
  assert.deepEqual(lines(folder.file("snapshot.db"), "SELECT count(*) FROM blobs"), ["65"]);
});
