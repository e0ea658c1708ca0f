import assert from "node:assert/strict";
import { decode } from "cbor-x";
import { decompress, isCompressed } from "../../src/wire/compression.ts";
import { ClusterNode, converge } from "../support/cluster.ts";
import { assertSameContent, createDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import {
  type Admin,
  connectAdmin,
  GOLDEN,
  readRecording,
  readStreamBytes,
  type RecordedStream,
  replayRecording,
} from "../support/golden.ts";
import { startNatsServer } from "../support/nats_server.ts";
import { ROOT, type Settings } from "../support/node_process.ts";
import { startProcess, type TestProcess } from "../support/process.ts";
import { makeTempDir, type TempDir } from "../support/temp.ts";

const STREAMS = [1, 2, 3, 4].map((shard) => `harmonylite-changes-${shard}`);
/** So many messages did the Go program send, and so many changes had it not sent. */
const SENT = 38;
const PENDING = 4;
/** As in the recording: with other settings streams are the same, but a stream keeps more or fewer messages. */
const LOG: Settings = { shards: 4, max_entries: 1_000_000, max_batch: 1, compress: false };

/** A file as users of the Go program have it: with every key that it knows, and none that it does not. */
function configOfOriginal(dir: TempDir, natsUrl: string): string {
  return `
# Database path
db_path="${dir.file("node-42.db")}"
node_id=42
seq_map_path="${dir.file("seq-map.cbor")}"
publish=true
replicate=true
scan_max_changes=512
cleanup_interval=5000
sleep_timeout=0
polling_interval=0

[snapshot]
enabled=true
store="nats"      # Storage backend ("nats", "s3", "webdav", "sftp")
interval=3600000  # Snapshot every hour (ms)
leader_ttl=30000
[snapshot.nats]
replicas=1
bucket=""
[snapshot.s3]
endpoint="127.0.0.1:9000"
path="snapshots/harmonylite"
use_ssl=false
access_key="marmot"
secret="ChangeMe"
session_token=""
bucket="harmonylite"
[snapshot.webdav]
url="https://localhost/snapshots?dir=/x&login=me&secret=mine"
[snapshot.sftp]
url="sftp://me:mine@localhost:22/snapshots"

[replication_log]
shards=4          # Number of streams for parallel processing
max_entries=1000000
replicas=1
compress=false
update_existing=false

[nats]
urls=["${natsUrl}"]
bind_address=":-1"
server_config=""
subject_prefix="harmonylite-change-log"
stream_prefix="harmonylite-changes"
seed_file=""
user_name=""
user_password=""
ca_file=""
cert_file=""
key_file=""
connect_retries=60
reconnect_wait_seconds=1

[prometheus]
enable=true
bind="127.0.0.1:0"
namespace="harmonylite"
subsystem="replication"

[logging]
verbose=true
format="json"     # Or "console"

[health_check]
enable=false
bind="127.0.0.1:0"
path="/health"
detailed=true
`;
}

/** The program as users of the Go one call it. */
function callAsBefore(dir: TempDir, ...args: string[]): TestProcess {
  return startProcess({
    name: `harmonylite ${args.join(" ")}`,
    command: Deno.execPath(),
    args: ["run", "-A", "--frozen", `${ROOT}main.ts`, "-config", dir.file("config.toml"), ...args],
    cwd: dir.path,
    // The one setting that a cluster with nodes of the Go program needs.
    env: { HARMONYLITE_REPLICATION_LOG_MAX_BATCH: "1" },
  });
}

async function messagesOf(admin: Admin): Promise<Uint8Array[]> {
  return (await Promise.all(STREAMS.map((stream) => readStreamBytes(admin, stream)))).flat();
}

/** What lies behind the recorded messages of each stream, decoded by a library that knows nothing of us. */
async function newEvents(admin: Admin): Promise<Record<string, unknown>[]> {
  const recorded = new Map(
    readRecording("wire-plain.jsonl").messages.map(({ data }) => [data, true]),
  );
  const fresh = (await messagesOf(admin)).filter((bytes) => !recorded.has(bytes.toHex()));
  return fresh.map((bytes) => decode(bytes) as Record<string, unknown>);
}

Deno.test("a database that the Go program left behind is taken over, and what it had not sent is sent once", async () => {
  await using dir = await makeTempDir();
  await using server = await startNatsServer();
  await replayRecording(server, "wire-plain.jsonl");
  for (const [from, to] of [["left-behind.db", "node-42.db"], ["seq-map.cbor", "seq-map.cbor"]]) {
    await Deno.copyFile(`${GOLDEN}/${from}`, dir.file(to!));
  }
  await Deno.writeTextFile(dir.file("config.toml"), configOfOriginal(dir, server.url));
  await using check = callAsBefore(dir, "-check");
  assert.equal(await check.exited, 0, check.log.tail());

  // Killed between the take-over and the first message, it goes on from there.
  await server.stop();
  await using first = callAsBefore(dir);
  await first.waitForLog("taken over from the Go program");
  await first.kill();
  await server.start();
  await using second = callAsBefore(dir);
  await second.waitForLog("Caught up with the streams");
  assert.equal(second.log.has("taken over from"), false, "it was taken over before");
  const node = new ClusterNode({ dir: dir.path, nodeId: 42, dbPath: dir.file("node-42.db") });
  await eventually("all is sent", () => node.pending() === 0);
  await using admin = await connectAdmin(server);
  const events = await newEvents(admin);
  assert.equal((await messagesOf(admin)).length, SENT + PENDING);
  assertAsWritten(events);
  assert.equal(second.log.has("carries the id of this node"), false, second.log.tail());

  // Its triggers and tables are ours now, under the documented names.
  const schema = node.read("SELECT sql FROM sqlite_schema WHERE name LIKE '\\_\\_harmonylite%' ESCAPE '\\'")
    .join();
  assert.doesNotMatch(schema, /pragma_function_list|AUTOINCREMENT,\s+val_|change_log_global/);
  assert.match(schema, /CREATE TRIGGER "__harmonylite__kinds_change_log_on_insert"/);
  assert.equal(node.count("SELECT count(*) FROM kinds WHERE id = 100"), 1);
  await node.sql("PRAGMA trusted_schema = OFF; UPDATE kinds SET t = 'by our triggers' WHERE id = 100;");
  await eventually("it is sent", async () => (await newEvents(admin)).length === PENDING + 1);

  // A node that joins has the same rows, values and types included, and nobody has anything more to say.
  const joining = { dir: dir.path, nodeId: 7, dbPath: dir.file("node-7.db"), natsUrl: server.url };
  await createDatabase(joining.dbPath, Deno.readTextFileSync(`${GOLDEN}/schema.sql`));
  await using other = new ClusterNode({ ...joining, settings: { replication_log: LOG } });
  await other.start();
  await other.sql("INSERT INTO composite VALUES ('of the other', 2, 'two');");
  await eventually(
    "it arrives",
    () => node.count("SELECT count(*) FROM composite WHERE b = 'of the other'") === 1,
  );
  await converge([other]);
  await eventually("both are alike", () => assertSameContent([node.dbPath, other.dbPath]));
  assert.equal(await second.stop(), 0);
  await using third = callAsBefore(dir);
  await third.waitForLog("Caught up with the streams");
  await node.sql("INSERT INTO composite VALUES ('the last', 3, 'three');");
  await eventually(
    "it arrives",
    () => other.count("SELECT count(*) FROM composite WHERE b = 'the last'") === 1,
  );
  assert.equal((await messagesOf(admin)).length, SENT + PENDING + 3, "nothing is sent twice");
  assert.equal(await third.stop(), 0);
});

/** The four statements of `pending.sql`, as the Go program would have sent them, in its form. */
function assertAsWritten(events: readonly Record<string, unknown>[]): void {
  const seen = events.map((event) => {
    const { FromNodeId, Payload } = event as { FromNodeId: number; Payload: Record<string, unknown> };
    assert.deepEqual(Object.keys(event).sort(), ["FromNodeId", "Payload"]);
    assert.deepEqual(Object.keys(Payload).sort(), ["Id", "Row", "TableName", "Type", "sh", "ts"]);
    const row = Payload["Row"] as Record<string, unknown>;
    const key = ["id", "i", "t", "b", "a", "v"].map((name) => row[name]).filter((value) =>
      value !== undefined && value !== null
    );
    return [FromNodeId, Payload["TableName"], Payload["Type"], ...key].join(" ");
  });
  assert.deepEqual(seen.sort(), [
    "42 composite insert pending 1 one",
    "42 kinds delete 2",
    "42 kinds insert 100 1 written while nobody was looking",
    // `b` is a blob without bytes.
    "42 kinds update 1 7 changed again ",
  ]);
}

Deno.test("streams, buckets and the object store are made as the Go program makes them, and its snapshot is restored", async () => {
  await using dir = await makeTempDir();
  const settings = {
    replication_log: { ...LOG, compress: true },
    snapshot: { enabled: true, store: "nats" },
  };
  // On a server where the Go program was: what it stored in the object store is the database of a node without one.
  await using served = await startNatsServer();
  await replayRecording(served, "wire-zstd.jsonl");
  const dbPath = dir.file("node-1.db");
  await using restored = new ClusterNode({ dir: dir.path, nodeId: 1, dbPath, natsUrl: served.url, settings });
  await restored.start();
  assert.ok(restored.process.log.has("Restored from snapshot"), restored.process.log.tail());
  assert.equal(restored.count("SELECT count(*) FROM kinds"), 17);
  assert.equal(restored.count("SELECT sum(sequence) FROM __harmonylite___position"), SENT);
  await restored.sql("UPDATE kinds SET t = 'here' WHERE id = 5;");
  await converge([restored]);
  await using there = await connectAdmin(served);
  const last = (await Promise.all(STREAMS.map((name) => readStreamBytes(there, name.replace("s-", "s-c-")))))
    .flat().find((bytes) => decode(decompress(bytes)).Payload.Row.t === "here");
  assert.ok(last !== undefined && isCompressed(last));

  // On a server of its own: all that it makes has the settings of the recording.
  await using empty = await startNatsServer();
  const path = dir.file("node-2.db");
  await createDatabase(path, "CREATE TABLE notes (id INTEGER PRIMARY KEY)");
  await using node = new ClusterNode({
    dir: dir.path,
    nodeId: 2,
    dbPath: path,
    natsUrl: empty.url,
    settings,
  });
  await node.start();
  await node.process.waitForLog("Snapshot saved");
  await using admin = await connectAdmin(empty);
  for (const { config } of readRecording("wire-zstd.jsonl").streams) {
    const made = await admin.ask(`STREAM.INFO.${config.name}`);
    assert.deepEqual(comparable(made.config), comparable(config), config.name);
  }

  // A clean-up of what the Go program left behind sends what it had not sent, too.
  const left = dir.file("node-42.db");
  await Deno.copyFile(`${GOLDEN}/left-behind.db`, left);
  await using behind = new ClusterNode({
    dir: dir.path,
    nodeId: 42,
    dbPath: left,
    natsUrl: empty.url,
    settings,
  });
  await using cleanup = behind.command(["cleanup", "--all"]);
  assert.equal(await cleanup.exited, 0, cleanup.log.tail());
  const events = await Promise.all(STREAMS.map((name) => readStreamBytes(admin, name.replace("s-", "s-c-"))));
  assertAsWritten(events.flat().map((bytes) => decode(decompress(bytes))));
  assert.deepEqual(behind.read("SELECT name FROM sqlite_schema WHERE name LIKE '%harmonylite%'"), []);
});

/** Words for people, what servers of other versions add, and how long a word in the registry lasts, which differs on purpose. */
function comparable(config: RecordedStream["config"]): Record<string, unknown> {
  const { description: _description, metadata: _metadata, max_age: _maxAge, ...rest } = config;
  const defaults = { compression: "none", consumer_limits: {}, allow_msg_ttl: false, mirror_direct: false };
  return { ...defaults, ...rest };
}
