import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { type Cluster, ClusterNode, converge, startCluster } from "../support/cluster.ts";
import { createDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, type NatsServer, startNatsServer } from "../support/nats_server.ts";
import type { Settings } from "../support/node_process.ts";
import { makeTempDir } from "../support/temp.ts";

/**
 * Settings that the user's documents tell to change on a cluster that is in use, without an order or a pause:
 * troubleshooting.md ("High Replication Latency", "High CPU Usage", "JetStream Errors"), deployment.md ("Replication
 * Delays"), faq.md ("Can I deploy HarmonyLite across multiple regions?").
 */
const SCHEMA = "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT, writers TEXT DEFAULT '');";
const PATIENCE = { timeoutMs: 120_000 };
const BOOKS = 20;

Deno.test("compress, shards and max_entries are changed node by node on a cluster in use, and nothing is lost", async (t) => {
  const settings = { replication_log: { shards: 4, max_entries: 1_024, compress: true } };
  await using cluster = await startCluster(2, { schema: SCHEMA, settings });
  const log = new Map<ClusterNode, Settings>();
  let written = await write(cluster, 0);

  /** One node gets another configuration and a restart; all of them write before, during and after it. */
  const change = async (node: ClusterNode, settings: Settings): Promise<void> => {
    log.set(node, { ...node.options.settings?.["replication_log"], ...log.get(node), ...settings });
    assert.equal(await node.stop(), 0);
    written = await write(cluster, written);
    await node.start({ settings: { ...node.options.settings, replication_log: log.get(node)! } });
    written = await write(cluster, written);
  };
  const changes: readonly (readonly [string, readonly (readonly [number, Settings])[]])[] = [
    ["compress off on one node for a while", [[2, { compress: false }], [2, { compress: true }]]],
    ["fewer shards, one node after the other", [[1, { shards: 2 }], [2, { shards: 2 }]]],
    ["more shards than ever", [[1, { shards: 8 }], [2, { shards: 8 }]]],
  ];
  for (const [name, steps] of changes) {
    await t.step(name, async () => {
      for (const [id, settings] of steps) await change(cluster.node(id), settings);
      await cluster.converge(PATIENCE);
      assert.equal(cluster.node(1).count("SELECT count(*) FROM books"), written);
    });
  }
  await t.step(
    "max_entries: with update_existing, and a node of another opinion does not undo it",
    async () => {
      await change(cluster.node(1), { max_entries: 2_048, update_existing: true });
      await change(cluster.node(2), { max_entries: 512 });
      assert.ok(cluster.node(2).process.log.has("has max_entries = 2048, the configuration says 512"));
      assert.deepEqual(await maxEntries(cluster), Array.from({ length: 8 }, () => 2_048));
      await cluster.converge(PATIENCE);
      assert.equal(cluster.node(2).count("SELECT count(*) FROM books"), written);
    },
  );
});

/** New rows of each node, and changes of rows that all of them change. Returns how many rows there are then. */
async function write({ nodes }: Cluster, before: number): Promise<number> {
  for (const [index, node] of nodes.entries()) {
    const first = before + index * BOOKS;
    await node.sql(
      `WITH RECURSIVE n(i) AS (VALUES (${first}) UNION ALL SELECT i + 1 FROM n LIMIT ${BOOKS})
       INSERT INTO books (id, title) SELECT i, 'book ' || i FROM n;
       UPDATE books SET writers = writers || ${index + 1} WHERE id < 10;`,
    );
  }
  return before + nodes.length * BOOKS;
}

async function maxEntries({ nats }: Cluster): Promise<number[]> {
  const connection = await connect({ servers: nats.url });
  try {
    const streams = await Array.fromAsync((await jetstreamManager(connection)).streams.list());
    return streams.filter(({ config }) => config.name.startsWith("harmonylite-changes-"))
      .map(({ config }) => config.max_msgs);
  } finally {
    await connection.close();
  }
}

Deno.test("nodes in two regions, whose servers are joined by gateways, get each other's rows", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await makeTempDir());
  const servers = await startRegions(stack, ["eu", "us"]);
  const settings = { replication_log: { shards: 2 } };
  const nodes = await Promise.all(servers.map(async ({ url: natsUrl }, index) => {
    const dbPath = dir.file(`node-${index + 1}.db`);
    await createDatabase(dbPath, SCHEMA);
    return stack.use(new ClusterNode({ dir: dir.path, nodeId: index + 1, dbPath, natsUrl, settings }));
  }));
  await Promise.all(nodes.map((node) => node.start()));
  const [first, second] = [nodes[0]!, nodes[1]!];
  await first.sql("INSERT INTO books (id, title) VALUES (1, 'of eu'), (2, 'of eu');");
  await eventually("us has them", () => second.count("SELECT count(*) FROM books") === 2, PATIENCE);
  await second.sql("UPDATE books SET writers = 'us' WHERE id = 1; INSERT INTO books (id) VALUES (3);");
  await converge(nodes, PATIENCE);
  assert.deepEqual(first.read("SELECT id, writers FROM books ORDER BY id"), [[1n, "us"], [2n, ""], [3n, ""]]);
});

/** A server for each region, each a cluster of its own; together they are one for JetStream. */
async function startRegions(stack: AsyncDisposableStack, names: readonly string[]): Promise<NatsServer[]> {
  const regions = names.map((name) => ({ name, gateway: freePort(), route: freePort() }));
  const gateways = regions.map(({ name, gateway }) =>
    `{ name: ${name}, url: "nats://127.0.0.1:${gateway}" }`
  );
  return await Promise.all(regions.map(async ({ name, gateway, route }) => {
    const config = `
      server_name: ${name}-1
      cluster { name: ${name}, listen: "127.0.0.1:${route}", routes: ["nats://127.0.0.1:${route}"] }
      gateway { name: ${name}, listen: "127.0.0.1:${gateway}", gateways: [${gateways.join(", ")}] }`;
    return stack.use(await startNatsServer({ config }));
  }));
}
