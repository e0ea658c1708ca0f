import assert from "node:assert/strict";
import { serverFolder } from "../../src/agent/embedded_server.ts";
import { connectToNats } from "../../src/nats/connection.ts";
import { converge } from "../support/cluster.ts";
import { embeddedCluster, embeddedNode, isListening, serverOf } from "../support/embedded_cluster.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/nats_server.ts";
import { makeTempDir } from "../support/temp.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";
/** Never ready. It ends when its reader does, as nats-server does. */
const SLOW_SERVER = `#!/bin/sh
if [ "$1" = --version ]; then echo nats-server: v2.15.2; else while echo waiting >&2; do sleep 0.1; done; fi
`;
/** Servers of a cluster look for each other and elect a leader first, on a machine that has other things to do. */
const CLUSTER_START_MS = 90_000;

/** Every file and folder of ours beside the database, with its permissions; the database's own are left out. */
function modes(folder: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const { name } of Deno.readDirSync(folder)) {
    if (/-harmonylite\.|seq-map/.test(name)) {
      found.set(name, Deno.statSync(`${folder}/${name}`).mode! & 0o777);
    }
  }
  return found;
}

Deno.test("a node alone needs no other server, and leaves none behind, however it ends", async () => {
  await using dir = await makeTempDir();
  const monitor = freePort();
  await using node = await embeddedNode(dir, 1, SCHEMA, {
    nats: { monitor_address: `127.0.0.1:${monitor}` },
  });
  await node.start();
  await node.sql("INSERT INTO notes VALUES (1, 'one');");
  await converge([node]);

  const server = serverOf(node);
  assert.equal(server.monitor, `http://127.0.0.1:${monitor}`);
  const status = await (await fetch(`${server.monitor}/jsz?streams=1`)).json();
  assert.equal(status.account_details[0].stream_detail[0].state.messages, 1);
  for (const [name, mode] of modes(dir.path)) assert.equal(mode & 0o077, 0, `${name} is open to others`);

  // A command beside the running node finds its server.
  await using verify = node.command(["verify"]);
  assert.equal(await verify.exited, 3, verify.log.tail());
  assert.ok(verify.output.has("No other node answers"));
  await using asked = node.command(["status"]);
  assert.equal(await asked.exited, 0, asked.log.tail());
  assert.ok(asked.output.has(/NATS +connected to \S+ for .*, its own server$/), asked.output.tail());

  // The server crashes: it is back, on its port, and so is the node.
  Deno.kill(server.process, "SIGKILL");
  await node.process.waitForLog("The NATS server of this node has ended");
  await node.sql("INSERT INTO notes VALUES (2, 'two');");
  await converge([node]);
  assert.equal(serverOf(node).url, server.url);

  // The node is killed: its server goes, too.
  await node.kill();
  await eventually("no server is left", () => !isListening(server.port));
  // It could not take back what it has said about its server: that is not asked.
  await using forsaken = node.command(["verify"]);
  assert.equal(await forsaken.exited, 1);
  assert.ok(forsaken.log.has("the node does not run"), forsaken.log.tail());
  await using late = node.command(["status"]);
  assert.equal(await late.exited, 1, late.log.tail());
  assert.ok(
    late.output.has("Cannot find the NATS server of node 1: the node does not run"),
    late.output.tail(),
  );
  await node.sql("INSERT INTO notes VALUES (3, 'three');");
  await node.start();
  await converge([node]);
  assert.equal(node.count("SELECT sequence FROM __harmonylite___position"), 3);

  // A service manager asks node and server to end at the same time; what was just written is sent all the same.
  await node.sql("INSERT INTO notes VALUES (33, 'at the end');");
  const last = serverOf(node);
  Deno.kill(last.process, "SIGTERM");
  assert.equal(await node.stop(), 0);
  assert.equal(node.pending(), 0);
  assert.equal(isListening(last.port), false);
  assert.throws(() => serverOf(node), /names no server/);
  await using stopped = node.command(["verify"]);
  assert.equal(await stopped.exited, 1);
  assert.ok(stopped.log.has("the node does not run"), stopped.log.tail());

  // What waits is sent by a server that runs as long as that takes.
  await node.sql("INSERT INTO notes VALUES (4, 'four');");
  assert.equal(node.pending(), 1);
  await using cleanup = node.command(["cleanup", "--all"]);
  assert.equal(await cleanup.exited, 0, cleanup.log.tail());
  assert.deepEqual([...modes(dir.path).keys()], []);
});

Deno.test("a fixed address is taken again right after the node was killed, and a neighbour's is not", async () => {
  await using dir = await makeTempDir();
  const address = `127.0.0.1:${freePort()}`;
  const nats = { bind_address: address };
  await using node = await embeddedNode(dir, 1, SCHEMA, { nats });
  await node.start();
  for (let round = 1; round <= 3; round++) {
    await node.sql(`INSERT INTO notes VALUES (${round}, 'round');`);
    await node.kill();
    await node.start();
    assert.equal(serverOf(node).url, `nats://${address}`);
  }
  await converge([node]);
  // Killed before its server was ready, it has said where that will be: the next start looks there.
  await node.kill();
  await Deno.writeTextFile(dir.file("slow"), SLOW_SERVER, { mode: 0o755 });
  await using slow = node.launch({ env: { NATS_SERVER: dir.file("slow") }, settings: {} });
  await eventually("it waits for its server", () => serverOf(node).process === 0);
  assert.match(serverOf(node).url, /^nats:\/\/127\.0\.0\.1:\d+$/);
  await slow.kill("SIGKILL");
  await node.start();

  await using neighbour = await embeddedNode(dir, 2, SCHEMA, { nats });
  await using refused = neighbour.launch();
  assert.equal(await refused.exited, 1);
  assert.ok(refused.log.has(/Cannot start nats-server: .*address already in use/), refused.log.tail());
  assert.ok(refused.log.has("choose another nats.bind_address"), refused.log.tail());
  assert.equal(node.process.running, true);
});

Deno.test("three nodes are a cluster of servers: whatever dies, and in whatever order they come, nothing is lost", async () => {
  await using dir = await makeTempDir();
  const [one, two, three] = await embeddedCluster(dir, 3, SCHEMA) as [Node, Node, Node];
  await using _stack = { [Symbol.asyncDispose]: () => disposeAll([one, two, three]) };
  let rows = 0;
  const write = async (node: Node): Promise<void> => {
    rows++;
    await node.sql(`INSERT INTO notes VALUES (${rows}, 'of node ${node.options.nodeId}');`);
  };
  const settle = async (nodes: readonly Node[]): Promise<void> => {
    await converge(nodes, { timeoutMs: CLUSTER_START_MS });
    for (const node of nodes) assert.equal(node.count("SELECT count(*) FROM notes"), rows);
  };

  // The first waits for its peers, and captures meanwhile.
  const second = two.start({}, CLUSTER_START_MS);
  await two.process.waitForLog("Waiting for JetStream", { timeoutMs: CLUSTER_START_MS });
  await write(two);
  const third = three.start({}, CLUSTER_START_MS);
  await three.process.waitForLog("Waiting for JetStream", { timeoutMs: CLUSTER_START_MS });
  await write(three);
  assert.equal(two.pending(), 1);
  await Promise.all([second, third, one.start({}, CLUSTER_START_MS)]);
  await settle([one, two, three]);

  // Any one may die, and comes back, the last one with a new disk for its server.
  for (const lost of [one, two, three]) {
    const rest = [one, two, three].filter((node) => node !== lost);
    await lost.kill();
    await Promise.all(rest.map(write));
    await settle(rest);
    await write(lost);
    if (lost === three) await Deno.remove(serverFolder(three.dbPath), { recursive: true });
    await lost.start({}, CLUSTER_START_MS);
    await settle([one, two, three]);
  }

  // All die at once, with something on its way.
  await Promise.all([one, two, three].map(write));
  await Promise.all([one, two, three].map((node) => node.kill()));
  for (const node of [one, two, three]) await write(node);
  await Promise.all([three, two, one].map((node) => node.start({}, CLUSTER_START_MS)));
  await settle([one, two, three]);

  // Its servers know each other by name: one alone is refused, before it could go its own way.
  assert.equal(await three.stop(), 0);
  await using alone = three.launch({ args: [] });
  assert.equal(await alone.exited, 1);
  assert.ok(alone.log.has("so far it was part of a cluster"), alone.log.tail());
});

type Node = Awaited<ReturnType<typeof embeddedNode>>;

async function disposeAll(nodes: readonly Node[]): Promise<void> {
  await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
}

Deno.test("a leaf node uses the streams of its hub, and a hub that dials its leaf lends them", async () => {
  await using dir = await makeTempDir();
  const [hubPort, spokePort] = [freePort(), freePort()];
  await Deno.writeTextFile(dir.file("hub.conf"), `leafnodes { listen: "127.0.0.1:${hubPort}" }`);
  // A server that is dialled by its hub keeps no streams either, and says so itself.
  await Deno.writeTextFile(
    dir.file("spoke.conf"),
    `leafnodes { listen: "127.0.0.1:${spokePort}" }\njetstream: false\ndefault_js_domain: { "$G": e-harmonylite }\n`,
  );
  const spokeUrl = `nats://127.0.0.1:${spokePort}?hub=true`;
  await using hub = await embeddedNode(dir, 1, SCHEMA, {
    nats: { server_config: dir.file("hub.conf") },
  });
  await using leaf = await embeddedNode(dir, 2, SCHEMA, {
    args: ["--leaf-servers", `nats://127.0.0.1:${hubPort}`],
  });
  // The leaf comes first, and waits.
  const leafStarts = leaf.start({}, CLUSTER_START_MS);
  await leaf.process.waitForLog("Waiting for JetStream");
  await leaf.sql("INSERT INTO notes VALUES (1, 'leaf, before its hub was there');");
  await hub.start();
  await leafStarts;
  await hub.sql("INSERT INTO notes VALUES (2, 'hub');");
  await converge([hub, leaf]);

  // Parted, both go on.
  await hub.kill();
  await leaf.sql("INSERT INTO notes VALUES (3, 'leaf alone'); UPDATE notes SET text = 'leaf' WHERE id = 2;");
  await hub.sql("INSERT INTO notes VALUES (4, 'hub alone');");
  await hub.start();
  await converge([hub, leaf]);
  assert.equal(hub.count("SELECT count(*) FROM notes"), 4);
  assert.deepEqual(hub.read("SELECT text FROM notes WHERE id = 2"), [["leaf"]]);
  assert.equal(await leaf.stop(), 0);

  await using spoke = await embeddedNode(dir, 3, SCHEMA, {
    nats: { server_config: dir.file("spoke.conf") },
  });
  const spokeStarts = spoke.start({}, CLUSTER_START_MS);
  assert.equal(await hub.stop(), 0);
  await hub.start({
    settings: { ...hub.options.settings, nats: {} },
    args: ["--leaf-servers", spokeUrl],
  });
  await spokeStarts;
  await spoke.sql("INSERT INTO notes VALUES (5, 'spoke');");
  await converge([hub, spoke]);
  assert.equal(hub.count("SELECT count(*) FROM notes"), 5);
});

Deno.test("the operator's own configuration is merged: what it says counts, what it leaves out is ours", async () => {
  await using dir = await makeTempDir();
  const port = freePort();
  await Deno.mkdir(dir.file("etc"));
  await Deno.writeTextFile(
    dir.file("etc/users.conf"),
    'authorization { users: [ { user: edge, password: "pass word" } ] }',
  );
  await Deno.writeTextFile(
    dir.file("etc/server.conf"),
    `listen: "127.0.0.1:${port}"
     jetstream { max_file_store: 100M }
     log_file: "${dir.file("elsewhere.log")}"
     server_name: other
     include ./users.conf\n`,
  );
  const login = { user_name: "edge", user_password: "pass word" };
  const serverConfig = { server_config: dir.file("etc/server.conf") };
  await using node = await embeddedNode(dir, 1, SCHEMA, { nats: { ...serverConfig, ...login } });
  await node.start();
  await node.sql("INSERT INTO notes VALUES (1, 'one');");
  await converge([node]);
  assert.equal(serverOf(node).port, port);
  assert.ok(node.process.log.has("Max Storage:     95.37 MB"));
  assert.ok(node.process.log.has("Name:     harmonylite-node-1"));
  assert.throws(() => Deno.statSync(dir.file("elsewhere.log")), Deno.errors.NotFound);
  assert.ok(Deno.statSync(`${serverFolder(node.dbPath)}/alone/jetstream`).isDirectory);
  assert.equal(await node.stop(), 0);

  const anonymous = { nats: { ...serverConfig, connect_retries: 1 } };
  await using refused = node.launch({ settings: anonymous });
  assert.equal(await refused.exited, 1);
  assert.ok(refused.log.has(/Failed to connect to NATS at .*Authorization Violation/), refused.log.tail());

  await Deno.writeTextFile(dir.file("etc/server.conf"), "max_payload: much\n");
  await using wrong = node.launch({ settings: anonymous });
  assert.equal(await wrong.exited, 1);
  assert.ok(wrong.log.has(/Cannot start nats-server: .*etc\/server\.conf:1:/), wrong.log.tail());
  assert.ok(!wrong.log.has("unexpected error"), wrong.log.tail());
});

Deno.test("a peer is found by its host name, and the server lets in only the configured user", async () => {
  await using dir = await makeTempDir();
  const [clusterPort, otherPort, clientPort] = [freePort(), freePort(), freePort()];
  const nats = { user_name: "edge", user_password: "s3cret", bind_address: `127.0.0.1:${clientPort}` };
  const cluster = (own: number, other: number): string[] => [
    `--cluster-addr=127.0.0.1:${own}`,
    `--cluster-peers=dns://localhost:${other}`,
  ];
  await using one = await embeddedNode(dir, 1, SCHEMA, { nats, args: cluster(clusterPort, otherPort) });
  await using two = await embeddedNode(dir, 2, SCHEMA, {
    nats: { ...nats, bind_address: "127.0.0.1:-1" },
    args: cluster(otherPort, clusterPort),
  });
  await Promise.all([one.start({}, CLUSTER_START_MS), two.start({}, CLUSTER_START_MS)]);
  await one.sql("INSERT INTO notes VALUES (1, 'one');");
  await converge([one, two]);
  const rendered = await Deno.readTextFile(`${serverFolder(one.dbPath)}/nats-server.conf`);
  assert.match(rendered, new RegExp(`routes: \\["nats://127\\.0\\.0\\.1:${otherPort}"`));
  assert.ok(!one.process.log.has("s3cret"));
  const url = `nats://127.0.0.1:${clientPort}`;
  const stranger = { urls: [url], connectRetries: 1, reconnectWaitSeconds: 0, name: "stranger" };
  await assert.rejects(
    connectToNats(stranger, { signal: AbortSignal.timeout(30_000) }),
    /Authorization Violation/,
  );
});
