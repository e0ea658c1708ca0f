import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import assert from "node:assert/strict";
import { NODES_BUCKET } from "../../src/agent/node_claim.ts";
import { STATUS } from "../../src/agent/node_observer.ts";
import { ProcessLock } from "../../src/capture/process_lock.ts";
import { SchemaTracker } from "../../src/capture/schema_tracker.ts";
import { connectToNats } from "../../src/nats/connection.ts";
import { REGISTRY_BUCKET } from "../../src/schema/registry.ts";
import { encodeEntry } from "../../src/schema/registry_entry.ts";
import { FileStore } from "../../src/snapshot/file_store.ts";
import { Generations } from "../../src/snapshot/generations.ts";
import { STORE_LIMITS } from "../../src/snapshot/transfer.ts";
import { Database } from "../../src/sqlite/database.ts";
import { JetStreamKeyValue } from "../../src/stream/jetstream_key_value.ts";
import { NatsPeers } from "../../src/stream/nats_peers.ts";
import { answerCalls } from "../../src/stream/peer_calls.ts";
import { freePort, type NatsServer, startNatsServer } from "../support/nats_server.ts";
import { openPatientLab, type PatientLab } from "../support/patient_lab.ts";

const SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
const SUBJECT = "harmonylite-change-log";
const STREAM = "harmonylite-changes-c-1";
const STREAM_CONFIG = { name: STREAM, subjects: [`${SUBJECT}-1`], max_msgs: 1024, allow_direct: true };
const never = new AbortController().signal;

/** An operator's connection to the server. */
async function administer(server: NatsServer): Promise<NatsConnection & AsyncDisposable> {
  const options = { urls: [server.url], connectRetries: 3, reconnectWaitSeconds: 1, name: "admin" };
  const connection = await connectToNats(options, { signal: never });
  return Object.assign(connection, { [Symbol.asyncDispose]: () => connection.close() });
}

/** Puts an entry into a bucket, as a node does. */
async function put(
  connection: NatsConnection,
  bucket: string,
  key: string,
  value: Uint8Array,
): Promise<void> {
  using store = new JetStreamKeyValue(connection, { bucket, folder: "", replicas: 1 });
  await store.put(key, value, never);
}

/** A node as others meet it: answers to who is there, and with what it says of itself. */
function serve(connection: NatsConnection, node: bigint, instance: string, status?: unknown): Disposable {
  const stop = new AbortController();
  const methods = answerCalls(status === undefined ? {} : { [STATUS]: () => Promise.resolve(status) });
  const serving = new NatsPeers(connection, SUBJECT).serve({ node, instance }, methods, stop.signal);
  return {
    [Symbol.dispose]: () => {
      stop.abort();
      void serving;
    },
  };
}

function statusOf(node: bigint, change: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    node: String(node),
    host: "there",
    process: 7,
    nowMs: Date.now(),
    phase: "replicating",
    publish: true,
    deadLoops: [],
    paused: [],
    streams: [],
    pending: { changes: 0 },
    published: { changes: 0 },
    database: {},
    nats: { connected: true, sinceMs: 0 },
    schema: { tables: 1, tablesWithTriggers: 1 },
    ...change,
  };
}

function position(lab: PatientLab, created: string, sequence: number): void {
  lab.sql(`DELETE FROM __harmonylite___position`);
  lab.sql(`INSERT INTO __harmonylite___position VALUES ('${STREAM}', 1, '${created}', ${sequence}, 0)`);
}

Deno.test("nats: reached, not reached, wrong password, and no JetStream", async () => {
  await using server = await startNatsServer({
    config: 'accounts: { A: { users: [{ user: "u", password: "right" }] } }',
  });
  await using lab = await openPatientLab({
    schema: SCHEMA,
    natsUrl: server.url,
    toml: '[nats]\nuser_name = "u"\nuser_password = "right"\n',
  });
  const found = await lab.verdicts("nats", "jetstream");
  assert.match(
    found["nats"]!,
    new RegExp(`^(ok|warn): Connected to 127.0.0.1:${server.port}, which answers within`),
  );
  assert.match(found["jetstream"]!, /^fail: Cannot ask for the JetStream account: jetstream not enabled/i);
  lab.writeConfig({ natsUrl: server.url, toml: '[nats]\nuser_name = "u"\nuser_password = "wrong"\n' });
  const refused = await lab.check("nats");
  assert.equal(refused.verdict, "fail");
  assert.match(refused.text, /^Failed to connect to NATS at 127\.0\.0\.1:\d+: Authorization Violation/i);
  lab.writeConfig({ natsUrl: `nats://127.0.0.1:${freePort()}` });
  assert.match(await lab.verdict("nats"), /^fail: Failed to connect to NATS/);
  assert.match(await lab.verdict("streams"), /^skipped: NATS cannot be reached/);
  lab.writeConfig({});
  assert.match(await lab.verdict("nats"), /^skipped: the node runs its own server, and does not run now/);
});

Deno.test("jetstream: an account that may store no more is told of before nodes fail", async () => {
  await using server = await startNatsServer({
    config:
      `accounts: { A: { users: [{ user: "u", password: "p" }], jetstream: { max_file: 40K, max_streams: 9 } } }`,
  });
  await using lab = await openPatientLab({
    schema: SCHEMA,
    natsUrl: server.url.replace("nats://", "nats://u:p@"),
  });
  assert.match(await lab.verdict("jetstream"), /^ok: It is on: 0 streams/);
  const url = server.url.replace("nats://", "nats://u:p@");
  const connection = await connectToNats(
    { urls: [url], connectRetries: 3, reconnectWaitSeconds: 1, name: "admin" },
    { signal: never },
  );
  try {
    const manager = await jetstreamManager(connection);
    await manager.streams.add({ name: "other", subjects: ["other"] });
    const fill = async (bytes: number): Promise<void> => {
      await connection.request("other", new Uint8Array(bytes), { timeout: 5_000 });
    };
    await fill(34_000);
    assert.match(
      await lab.verdict("jetstream"),
      /^warn: JetStream has little room left, storage: 3\d\.\d kB of 4\d/,
    );
    await fill(5_500);
    assert.match(await lab.verdict("jetstream"), /^fail: JetStream has little room left/);
  } finally {
    await connection.close();
  }
});

Deno.test("streams, layout and progress: missing, changed, more than one's own, lag, gap, made anew", async () => {
  await using server = await startNatsServer();
  await using admin = await administer(server);
  const manager = await jetstreamManager(admin);
  await using lab = await openPatientLab({ schema: SCHEMA, natsUrl: server.url });
  await lab.install();
  assert.match(await lab.verdict("streams"), /^warn: There is no stream yet/);
  {
    using _node = ProcessLock.acquire(lab.dbPath);
    assert.match(await lab.verdict("streams"), /^fail: There is no stream yet/);
  }

  const { created } = await manager.streams.add(STREAM_CONFIG);
  for (let i = 0; i < 5; i++) await admin.request(`${SUBJECT}-1`, `${i}`, { timeout: 5_000 });
  position(lab, created, 5);
  assert.deepEqual(await lab.verdicts("streams", "layout", "progress"), {
    streams: "ok: 1 stream, as configured",
    layout: "ok: One stream, as the others have them",
    progress: "ok: All that is in the streams is applied",
  });
  position(lab, created, 2);
  assert.equal(await lab.verdict("progress"), "ok: 3 messages to apply after the next start");
  await manager.streams.update(STREAM, { max_msgs: 5 });
  assert.match(
    await lab.verdict("streams"),
    /^warn: Stream .* has max_entries = 5, the configuration says 1024/,
  );
  assert.match(await lab.verdict("progress"), /^warn: This node is 3 messages behind in .*, which keeps 5/);

  await manager.streams.purge(STREAM, { seq: 5 });
  assert.match(
    await lab.verdict("progress"),
    /^warn: .* keeps messages from 5 on, and this node has applied those up to 2/,
  );
  lab.writeConfig({ natsUrl: server.url, toml: "[snapshot]\nenabled = false\n" });
  assert.match(await lab.verdict("progress"), /^fail: .*: what is missing cannot be had/);
  position(lab, "another time", 2);
  assert.match(await lab.verdict("progress"), /^warn: .* is not the stream that this node has read/);
  position(lab, created, 4);
  {
    // Nobody applies what is there.
    using _node = ProcessLock.acquire(lab.dbPath);
    assert.match(await lab.verdict("progress"), /^fail: Nothing is applied, though 1 message waits/);
  }

  await manager.streams.update(STREAM, { max_age: 180_000_000_000 });
  assert.match(await lab.verdict("streams"), /^fail: Stream .* forgets messages after 180 s/);
  await manager.streams.update(STREAM, { max_age: 0 });
  await manager.streams.add({ name: "harmonylite-changes-c-2", subjects: [`${SUBJECT}-2`] });
  assert.match(await lab.verdict("layout"), /^warn: This node sends to 1 of 2 streams/);
  await manager.streams.add({ name: "harmonylite-changes-3", subjects: ["another-prefix-3"] });
  assert.match(await lab.verdict("layout"), /^warn: Streams called after .*: harmonylite-changes-3/);
  await manager.streams.add({ name: "theirs-3", subjects: [`${SUBJECT}-3`] });
  assert.match(
    await lab.verdict("streams"),
    /^fail: Another cluster has its streams on these subjects: theirs-3/,
  );
});

Deno.test("schema, node ids, other nodes, clock and node: as the running nodes tell", async () => {
  await using server = await startNatsServer();
  await using admin = await administer(server);
  const manager = await jetstreamManager(admin);
  await manager.streams.add(STREAM_CONFIG);
  await using lab = await openPatientLab({ schema: SCHEMA, natsUrl: server.url });
  await lab.install();
  const names = ["schema", "node_ids", "other_nodes", "clock"] as const;
  assert.deepEqual(await lab.verdicts(...names), {
    schema: "skipped: no other node has told its schema yet",
    node_ids: "ok: No node answers",
    other_nodes: "skipped: no other node runs",
    clock: "ok: It agrees with that of the NATS server",
  });

  const announce = async (schema: string): Promise<void> => {
    await using other = await openPatientLab({ schema, nodeId: 2 });
    using database = Database.open(other.dbPath);
    const tracker = await SchemaTracker.open(database, { include: [], exclude: [] });
    await put(
      admin,
      REGISTRY_BUCKET,
      "node-2",
      encodeEntry(2n, tracker.current, { updatedAt: new Date(), maxBytes: 100_000 }),
    );
  };
  await announce(SCHEMA);
  {
    using _second = serve(admin, 2n, "two", statusOf(2n));
    await admin.flush();
    assert.deepEqual(await lab.verdicts(...names), {
      schema: "ok: Equal on 2 nodes",
      node_ids: "ok: Nodes that run: 2",
      other_nodes: "ok: 1 other node, all well",
      clock: "ok: It agrees with that of the NATS server, node 2",
    });
  }

  await announce("CREATE TABLE t (id INTEGER PRIMARY KEY, b); CREATE TABLE more (id INTEGER PRIMARY KEY)");
  await put(
    admin,
    NODES_BUCKET,
    "node-1",
    new TextEncoder().encode('{"host":"box","database":"/x.db","process":9}'),
  );
  {
    const paused = [{ table: "t", stream: STREAM, reason: "it lacks the column b" }];
    using _half = serve(admin, 1n, "half", statusOf(1n, { deadLoops: ["publisher"], paused }));
    await admin.flush();
    assert.match(
      await lab.verdict("progress"),
      /^fail: It waits for the schema \(schema_mismatch_paused\): t/,
    );
    assert.equal(
      await lab.verdict("node"),
      "fail: Node 1 runs, and is not well: the publisher loop has ended",
    );
  }
  using _here = serve(admin, 1n, "one", statusOf(1n));
  using _there = serve(admin, 1n, "another-one", statusOf(1n));
  const late = { nowMs: Date.now() - 90_000, streams: [{ name: STREAM, condition: "gap" }] };
  using _second = serve(admin, 2n, "two", statusOf(2n, late));
  await admin.flush();
  const found = await lab.verdicts(...names, "node");
  assert.match(found["node_ids"]!, /^fail: Two nodes run with the same node_id: 1/);
  assert.match(found["other_nodes"]!, /^warn: 1 other node in trouble/);
  assert.match(found["clock"]!, /^fail: This machine's clock is \d+ s ahead of that of node 2/);
  assert.equal(
    found["node"],
    "ok: Node 1 runs, but not in sight: it is process 7 of there, replicating",
  );
  assert.deepEqual((await lab.check("node_ids")).details, ["node 1: one of them is box: /x.db, process 9"]);
  assert.deepEqual((await lab.check("other_nodes")).details, [
    `node 2: stream "${STREAM}" has lost changes that this node has not read`,
  ]);
  assert.deepEqual((await lab.check("schema")).details, [
    "node 2 has a table more, and this one not",
    "node 2 has further columns (b) in t",
    "node 2 lacks columns (a) in t",
  ]);
});

Deno.test("clock: changes that came from ahead of time are told of, also without NATS", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA });
  assert.equal(await lab.verdict("clock"), "skipped: there is nothing to compare with");
  await lab.install();
  lab.sql("INSERT INTO t VALUES (1, 1)");
  assert.equal(await lab.verdict("clock"), "ok: No change came from ahead of time");
  lab.sql("UPDATE __harmonylite___clock SET ts = ts + 3600000000000");
  assert.match(await lab.verdict("clock"), /^warn: The database has seen changes from \d+ min ahead/);
});

Deno.test("snapshot store and snapshots: out of reach, none, new, overdue, behind what the streams keep", async () => {
  await using server = await startNatsServer();
  await using admin = await administer(server);
  const manager = await jetstreamManager(admin);
  await using lab = await openPatientLab({ schema: SCHEMA });
  const folder = `${lab.dbPath}-snapshots`;
  const toml = `[snapshot]\nstore = "file"\ninterval = 60000\n[snapshot.file]\npath = ${
    JSON.stringify(folder)
  }\n`;
  lab.writeConfig({ toml, natsUrl: server.url });
  assert.match(await lab.verdict("snapshot_store"), /^fail: Cannot list folder/);
  await Deno.mkdir(folder);
  assert.match(await lab.verdict("snapshot_store"), /^ok: folder .* can be read and written/);
  assert.deepEqual([...Deno.readDirSync(folder)], [], "nothing of it is left");
  assert.match(await lab.verdict("snapshots"), /^warn: There is no snapshot yet/);

  await using store = new FileStore({ path: folder }, STORE_LIMITS);
  const { created } = await manager.streams.add(STREAM_CONFIG);
  const take = async (timeMs: number, sequence: number): Promise<void> => {
    const positions = [{ stream: STREAM, shard: 1, created, sequence, time: 0n }];
    const facts = { timeMs, node: 1n, schema: "a".repeat(64), positions };
    await new Generations(store, "").add(lab.dbPath, facts, { signal: never, keep: 3 });
  };
  await take(Date.now() - 3_600_000, 0);
  assert.match(
    await lab.verdict("snapshots"),
    /^warn: 1 snapshot, the newest 60 min old, .*though one is due every 60 s/,
  );
  await take(Date.now(), 0);
  assert.match(await lab.verdict("snapshots"), /^ok: 2 snapshots, the newest [\d.]+ s old/);
  for (let i = 0; i < 3; i++) await admin.request(`${SUBJECT}-1`, `${i}`, { timeout: 5_000 });
  await manager.streams.purge(STREAM, { seq: 3 });
  assert.match(await lab.verdict("snapshots"), /^fail: .* has gone on further than it keeps/);

  using _node = serve(admin, 2n, "two", statusOf(2n, { snapshot: { failure: "the store is full" } }));
  await admin.flush();
  const { verdict, details } = await lab.check("snapshots");
  assert.deepEqual([verdict, details], ["fail", ["node 2: the store is full"]]);
  lab.writeConfig({ natsUrl: server.url, toml: "[snapshot]\nenabled = false\n" });
  assert.equal(await lab.verdict("snapshots"), "skipped: snapshot.enabled is false");
});
