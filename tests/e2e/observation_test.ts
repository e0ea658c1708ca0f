import assert from "node:assert/strict";
import { STATUS } from "../../src/agent/node_observer.ts";
import { connectToNats } from "../../src/nats/connection.ts";
import type { NodeStatus } from "../../src/observe/node_status.ts";
import { NatsPeers } from "../../src/stream/nats_peers.ts";
import { callPeer } from "../../src/stream/peer_calls.ts";
import { type Cluster, type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import type { Settings } from "../support/node_process.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";
/** A port that the system names; both pages share it. */
const BIND = "127.0.0.1:0";
const SERVED: Readonly<Record<string, Settings>> = {
  prometheus: { enable: true, bind: BIND },
  health_check: { enable: true, bind: BIND },
  snapshot: { enabled: true },
};

interface Health {
  readonly code: number;
  readonly status: string;
  readonly problems: readonly string[];
  readonly paused_tables: readonly string[];
  readonly [name: string]: unknown;
}

async function urlOf(node: ClusterNode, page: string): Promise<string> {
  const line = await node.process.waitForLog(new RegExp(`Serving ${page} url=`));
  return /url=(\S+)/.exec(line)![1]!;
}

async function healthOf(node: ClusterNode): Promise<Health> {
  const response = await fetch(await urlOf(node, "health"));
  return { code: response.status, ...await response.json() };
}

async function waitForHealth(node: ClusterNode, code: number, problem?: RegExp): Promise<Health> {
  return await eventually(`health is ${code}`, async () => {
    const health = await healthOf(node);
    assert.equal(health.code, code, health.problems.join("; "));
    assert.equal(health.status, code === 200 ? "healthy" : "unhealthy");
    if (problem) assert.match(health.problems.join("; "), problem);
    return health;
  }, { timeoutMs: 40_000 });
}

/** The value of a metric, with its labels if it has any; undefined when it is not there. */
async function metric(node: ClusterNode, name: string): Promise<number | undefined> {
  const text = await (await fetch(await urlOf(node, "metrics"))).text();
  const line = text.split("\n").find((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

async function waitForMetric(
  node: ClusterNode,
  name: string,
  wanted: (value: number) => boolean,
): Promise<void> {
  await eventually(`${name} is as it should be`, async () => {
    const value = await metric(node, name);
    assert.ok(value !== undefined && wanted(value), `it is ${value}`);
  }, { timeoutMs: 40_000 });
}

async function askOverNats(cluster: Cluster, node: bigint): Promise<NodeStatus> {
  const { signal } = new AbortController();
  const options = { urls: [cluster.nats.url], connectRetries: 5, reconnectWaitSeconds: 1, name: "test" };
  const connection = await connectToNats(options, { signal });
  try {
    const peers = new NatsPeers(connection, "harmonylite-change-log");
    const found = await peers.find({ timeoutMs: 10_000, until: node, signal });
    const peer = found.find((each) => each.node === node)!;
    return await callPeer<NodeStatus>(peers, peer, [STATUS], { timeoutMs: 10_000, signal });
  } finally {
    await connection.close();
  }
}

Deno.test("metrics, health and status are true while replication works, waits for a schema, and has no NATS", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA, settings: SERVED });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO notes (id, text) VALUES (1, 'a'), (2, 'b'), (3, 'c');");
  await cluster.converge();
  await whileItWorks(cluster);
  await first.sql("ALTER TABLE notes ADD COLUMN stars INTEGER; INSERT INTO notes VALUES (4, 'd', 5);");
  const paused = await waitForHealth(second, 503, /table "notes" waits for a schema change here: .*"stars"/);
  assert.deepEqual(paused.paused_tables, ["notes"]);
  assert.equal(await metric(second, "harmonylite_schema_paused"), 1);
  await waitForMetric(second, "harmonylite_lag_messages", (messages) => messages >= 1);
  await waitForMetric(second, "harmonylite_lag_seconds", (seconds) => seconds > 0);
  await waitForHealth(first, 200);
  await second.sql("ALTER TABLE notes ADD COLUMN stars INTEGER;");
  assert.deepEqual((await waitForHealth(second, 200)).paused_tables, []);
  await waitForMetric(second, "harmonylite_lag_messages", (messages) => messages === 0);
  cluster.nats.process.signal("SIGSTOP");
  await waitForHealth(first, 503, /JetStream has not answered for \d+ s|not connected/);
  cluster.nats.process.signal("SIGCONT");
  await waitForHealth(first, 200);
  await cluster.nats.kill();
  await first.sql("INSERT INTO notes VALUES (5, 'e', 1);");
  const cut = await waitForHealth(first, 503, /not connected to NATS for \d+ s/);
  assert.equal(cut["nats_connected"], false);
  assert.equal(cut["pending_changes"], 1);
  assert.equal(await metric(first, "harmonylite_nats_connected"), 0);
  assert.equal(await metric(first, "harmonylite_pending_publish"), 1);
  await cluster.nats.start();
  await Promise.all(cluster.nodes.map((node) => waitForHealth(node, 200)));
  await cluster.converge();
  // A row that was written before the new column was followed is sent once more with it.
  await waitForMetric(second, "harmonylite_applied", (changes) => changes === 5 || changes === 6);
});

async function whileItWorks(cluster: Cluster): Promise<void> {
  const [first, second] = [cluster.node(1), cluster.node(2)];
  // A status is kept for a moment: the first answer may be of just before the rows came.
  await waitForMetric(first, "harmonylite_published", (changes) => changes === 3);
  await waitForMetric(second, "harmonylite_applied", (changes) => changes === 3);
  const health = await waitForHealth(first, 200);
  assert.deepEqual([health["node_id"], health["nats_connected"], health["cdc_installed"]], [1, true, true]);
  assert.deepEqual([health["tables_tracked"], health["pending_changes"], health["lag_messages"]], [1, 0, 0]);
  const agoMs = Date.now() - Date.parse(String(health["last_published_event_timestamp"]));
  assert.ok(agoMs >= 0 && agoMs < 120_000, `${agoMs} ms`);
  assert.equal(await metric(second, "harmonylite_published"), 0);
  for (const name of ["count_changes", "scan_changes", "publish_seconds", "snapshot_seconds"]) {
    await waitForMetric(
      name === "snapshot_seconds" ? await leaderOf(cluster) : first,
      `harmonylite_${name}_count`,
      Boolean,
    );
  }
  for (const name of ["apply_seconds", "replication_seconds"]) {
    await waitForMetric(second, `harmonylite_${name}_count`, Boolean);
  }
  for (const node of cluster.nodes) await waitForMetric(node, "harmonylite_snapshot_age", (age) => age >= 0);
  const status = await askOverNats(cluster, 2n);
  assert.deepEqual([status.node, status.phase, status.nats.connected], ["2", "replicating", true]);
  assert.deepEqual(status.streams.map(({ position, last }) => [position, last]), [[1, 1]]);
  assert.equal(status.database.path, second.dbPath);
  assert.equal(status.process, second.process.pid);
}

/** The node that takes the snapshots. */
async function leaderOf(cluster: Cluster): Promise<ClusterNode> {
  return await eventually("somebody takes the snapshots", async () => {
    for (const node of cluster.nodes) {
      if (await metric(node, "harmonylite_snapshot_leader") === 1) return node;
    }
    throw new Error("nobody does");
  });
}

Deno.test("a node that waits for NATS answers that it is not well, and one whose port is taken does not start", async () => {
  await using cluster = await startCluster(1, {
    schema: SCHEMA,
    settings: { health_check: { enable: true, bind: BIND, path: "/alive", detailed: false } },
  });
  const node = cluster.node(1);
  const url = await urlOf(node, "health");
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/alive$/);
  const well = await fetch(url);
  assert.deepEqual([well.status, await well.text()], [200, '{"status":"healthy"}\n']);
  assert.equal(await node.stop(), 0);

  await cluster.nats.stop();
  await using waiting = node.launch({
    settings: { ...node.options.settings, ...SERVED, nats: { connect_retries: 1_000 } },
  });
  const line = await waiting.waitForLog(/Serving health url=/);
  const response = await fetch(/url=(\S+)/.exec(line)![1]!);
  const health = await response.json();
  assert.deepEqual([response.status, health.phase, health.nats_connected], [503, "connecting", false]);
  await waiting.kill();

  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const bind = `127.0.0.1:${taken.addr.port}`;
  await using refused = node.launch({ settings: { prometheus: { enable: true, bind } } });
  assert.equal(await refused.exited, 1);
  assert.ok(
    refused.log.has(`Cannot serve metrics at "${bind}": another program listens there`),
    refused.log.tail(),
  );
});
