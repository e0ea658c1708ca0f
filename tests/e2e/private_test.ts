import assert from "node:assert/strict";
import { nodeStatePath } from "../../src/agent/node_state.ts";
import { ClusterNode, converge } from "../support/cluster.ts";
import { createDatabase } from "../support/database.ts";
import { embeddedNode, serverOf } from "../support/embedded_cluster.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, startNatsServer } from "../support/nats_server.ts";
import { type NodeOptions, ROOT, type Settings, writeNodeConfig } from "../support/node_process.ts";
import { startProcess, type TestProcess } from "../support/process.ts";
import { makeTempDir } from "../support/temp.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";
/** Those of the database: of the application, and made by SQLite after its example. */
const DATABASE_FILE = /^node-1\.db(-wal|-shm|-journal)?$/;
const DATABASE_MODE = 0o664;
/** No part of a secret may turn up anywhere; each is of another kind. */
const SECRETS = {
  user: "us3r-s3cret",
  url: "url-s3cret",
  peer: "p33r-s3cret",
  leaf: "l34f-s3cret",
  accessKey: "acc3ss-s3cret",
  secretKey: "k3y-s3cret",
  token: "tok3n-s3cret",
  webdav: "w3bdav-s3cret",
  sftp: "sftp-s3cret",
  passphrase: "phras3-s3cret",
};

/** The node under a umask that would let everybody do everything. */
function startOpenly(options: NodeOptions): TestProcess {
  const program = [Deno.execPath(), "run", "-A", "--frozen", `${ROOT}main.ts`, "run"];
  return startProcess({
    name: "node, umask 0",
    command: "sh",
    args: ["-c", 'umask 0; exec "$@"', "sh", ...program, "--config", writeNodeConfig(options)],
    cwd: options.dir,
  });
}

/** Permissions of all that is beside the database; what is in a closed folder is closed. */
function modesIn(folder: string): Map<string, number> {
  const entries = [...Deno.readDirSync(folder)].map(({ name }): [string, number] => [
    name,
    Deno.statSync(`${folder}/${name}`).mode! & 0o777,
  ]);
  return new Map(entries.filter(([name]) => !name.endsWith(".toml")));
}

Deno.test("what we write is closed to others under any umask, and the database files stay as open as they were", async () => {
  await using dir = await makeTempDir();
  await using node = await embeddedNode(dir, 1, SCHEMA, {});
  await Deno.chmod(node.dbPath, DATABASE_MODE);
  const settings = {
    ...node.options.settings,
    logging: { verbose: true, file: dir.file("node.log") },
    snapshot: { enabled: true, store: "file" },
    "snapshot.file": { path: dir.file("snapshots") },
  };
  await Deno.mkdir(dir.file("snapshots"));
  const seen = new Map<string, number>();
  const look = (): void => {
    for (const [name, mode] of modesIn(dir.path)) {
      if (name === "snapshots") continue;
      seen.set(name, mode);
      if (DATABASE_FILE.test(name)) assert.equal(mode, DATABASE_MODE, `${name} has mode ${mode.toString(8)}`);
      else assert.equal(mode & 0o077, 0, `${name} is open to others: ${mode.toString(8)}`);
    }
  };
  for (const journal of ["WAL", "DELETE"]) {
    await node.sql(`PRAGMA journal_mode = ${journal};`);
    await using running = startOpenly({ ...node.options, settings });
    // Some of the files are there for moments only.
    let isSaved = false;
    const saved = running.waitForLog("Snapshot saved").then(() => isSaved = true);
    await running.waitForLog("Caught up with the streams");
    await node.sql(`INSERT INTO notes (text) VALUES ('${journal}');`);
    await eventually("a snapshot is saved", () => {
      look();
      return isSaved || journal === "DELETE";
    }, { intervalMs: 1 });
    if (journal === "WAL") await saved;
    await eventually("what was written is sent", () => node.pending() === 0);
    look();
    assert.equal(await running.stop(), 0);
    look();
    saved.catch(() => {});
  }
  const names = [...seen.keys()];
  for (
    const expected of [
      "node-1.db-wal",
      "node-1.db-shm",
      "node-1.db-harmonylite.lock",
      "node-1.db-harmonylite.nats",
      "node-1.db-harmonylite.json",
      "node-1-seq-map.cbor",
      "node.log",
    ]
  ) {
    assert.ok(names.includes(expected), `${expected} is not among ${names.join(", ")}`);
  }
  for (const [name, mode] of modesIn(dir.file("snapshots"))) {
    assert.equal(mode & 0o077, 0, `snapshot ${name} is open to others`);
  }
});

/** Everything that a process said, and what others see of it in the list of processes. */
async function traces(process: TestProcess): Promise<string> {
  await process.exited;
  return [...process.log.lines, ...process.output.lines].join("\n");
}

function assertNoSecret(text: string, what: string): void {
  for (const [kind, secret] of Object.entries(SECRETS)) {
    assert.equal(text.includes(secret), false, `the ${kind} secret is in ${what}`);
  }
  // The other half of each, in case that it was cut.
  assert.doesNotMatch(text, /-s3cret/, what);
}

Deno.test("no secret of any kind is in a log, an error, the node's state or the list of processes", async () => {
  await using dir = await makeTempDir();
  // A server of the node's own, with a user, and peers and a hub that nobody answers for.
  const closed = freePort();
  const nats = {
    user_name: "edge",
    user_password: SECRETS.user,
    cluster_addr: `127.0.0.1:${freePort()}`,
    cluster_peers: [`nats://route:${SECRETS.peer}@127.0.0.1:${closed}`],
    leaf_servers: [`nats://leaf:${SECRETS.leaf}@127.0.0.1:${closed}`],
    connect_retries: 2,
    reconnect_wait_seconds: 0,
  };
  await using node = await embeddedNode(dir, 1, SCHEMA, { nats });
  for (const format of ["console", "json"]) {
    const logging = { format, verbose: true };
    await using running = node.launch({ settings: { ...node.options.settings, nats, logging } });
    await running.waitForLog("Waiting for JetStream");
    await eventually("its server tries to reach the others", () => running.log.has(/rout|leaf/i));
    const server = serverOf(node).process;
    const lists = [server, running.pid].map((id) => Deno.readTextFileSync(`/proc/${id}/cmdline`)).join("\n");
    assertNoSecret(lists, "the list of processes");
    assertNoSecret(Deno.readTextFileSync(nodeStatePath(node.dbPath)), "the state of the node");
    await running.stop();
    assertNoSecret(await traces(running), `the ${format} log`);
  }

  // Another server, and stores that nobody answers for, or that do not exist.
  await using server = await startNatsServer({
    config: `authorization { user: edge, password: "${SECRETS.url}" }`,
  });
  await Deno.writeTextFile(dir.file("key"), "no key at all");
  const dbPath = dir.file("node-2.db");
  await createDatabase(dbPath, SCHEMA);
  const options = {
    dir: dir.path,
    nodeId: 2,
    dbPath,
    natsUrl: `nats://edge:${SECRETS.url}@127.0.0.1:${server.port}`,
  };
  const at = `127.0.0.1:${closed}`;
  const stores: Readonly<Record<string, Settings>> = {
    s3: {
      endpoint: at,
      bucket: "b",
      access_key: SECRETS.accessKey,
      secret: SECRETS.secretKey,
      session_token: SECRETS.token,
    },
    webdav: { url: `http://${at}/?dir=/x&login=me&secret=${SECRETS.webdav}` },
    sftp: { url: `sftp://me:${SECRETS.sftp}@${at}/x`, host_key: `SHA256:${"A".repeat(43)}` },
  };
  for (const [store, settings] of Object.entries(stores)) {
    const tables = { snapshot: { enabled: true, store }, [`snapshot.${store}`]: settings };
    await using other = new ClusterNode({ ...options, settings: tables });
    await other.start();
    await other.process.waitForLog("Unable to save snapshot", { timeoutMs: 60_000 });
    await using saving = other.command(["snapshot", "list", "--json"]);
    assert.equal(await saving.exited, 1, saving.log.tail());
    assertNoSecret(await traces(saving), `what snapshot list says of ${store}`);
    await other.sql("INSERT INTO notes (text) VALUES ('sent');");
    await converge([other]);
    await other.stop();
    assertNoSecret(await traces(other.process), `the log with ${store}`);
  }
  const broken = {
    url: `sftp://me:${SECRETS.sftp}@${at}/x`,
    key_file: dir.file("key"),
    key_passphrase: SECRETS.passphrase,
  };
  await using refused = new ClusterNode({
    ...options,
    settings: { snapshot: { enabled: true, store: "sftp" }, "snapshot.sftp": broken },
  });
  for (const words of [["check"], ["snapshot", "list"]]) {
    await using asked = refused.command(words);
    assertNoSecret(await traces(asked), words.join(" "));
  }
});
