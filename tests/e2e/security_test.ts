import assert from "node:assert/strict";
import { nkeys } from "@nats-io/transport-node";
import { makeCertificates, makeOperator } from "../integration/nats_lab.ts";
import { ClusterNode, converge } from "../support/cluster.ts";
import { createDatabase } from "../support/database.ts";
import { type NatsServer, startNatsServer } from "../support/nats_server.ts";
import type { Settings } from "../support/node_process.ts";
import { makeTempDir, type TempDir } from "../support/temp.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";
/** No part of one may turn up anywhere. */
const SECRET = "s3cr3t:with@signs and spaces";

async function makeNode(
  { path }: Pick<TempDir, "path">,
  id: number,
  server: NatsServer,
  nats: Settings,
  snapshot: Settings = {},
): Promise<ClusterNode> {
  const dbPath = `${path}/node-${id}.db`;
  await createDatabase(dbPath, SCHEMA);
  return new ClusterNode({
    dir: path,
    nodeId: id,
    dbPath,
    natsUrl: server.url,
    settings: {
      nats: { connect_retries: 2, reconnect_wait_seconds: 0, ...nats },
      logging: { format: "json" },
      snapshot: { enabled: false, ...snapshot },
    },
  });
}

/** A way to prove who one is, and what a node has to be told for it. */
interface Way {
  /** Configuration of the server. */
  readonly config: string;
  readonly right: Settings;
  readonly wrong: readonly { readonly settings: Settings; readonly says: RegExp }[];
  /** What must stay unsaid. */
  readonly secrets: readonly string[];
}

/** With the right secret a node replicates; with a wrong one it says so in one line and ends with exit code 1, after `connect_retries`. */
async function tryOut(way: Way): Promise<void> {
  await using dir = await makeTempDir();
  await using server = await startNatsServer({ config: way.config });
  await using node = await makeNode(dir, 1, server, way.right);
  await node.start();
  await node.sql("INSERT INTO notes VALUES (1, 'arrives');");
  await converge([node]);
  assert.equal(await node.stop(), 0);
  assertSilent(node.process.log.lines, way.secrets);
  for (const [at, { settings, says }] of way.wrong.entries()) {
    const stranger = await makeNode(dir, at + 2, server, settings);
    await using refused = stranger.launch();
    assert.equal(await refused.exited, 1, refused.log.tail());
    const told = refused.log.lines.filter((line) => line.startsWith("harmonylite: "));
    assert.equal(told.length, 1, refused.log.tail());
    assert.match(told[0]!, /^harmonylite: Failed to connect to NATS/);
    assert.match(told[0]!, says);
    const rounds = /broken/.test(told[0]!) ? [] : [1];
    assert.deepEqual(attemptsOf(refused.log.lines), rounds, refused.log.tail());
    assertSilent(refused.log.lines, way.secrets);
  }
  await using check = node.command(["check"]);
  assert.equal(await check.exited, 0);
  assertSilent(check.log.lines, way.secrets);
}

/** Which attempts were told of in the log; the last one is told on the line that ends the program. */
function attemptsOf(lines: readonly string[]): number[] {
  const logged = lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  return logged.map((entry) => entry.attempt ?? entry.properties?.attempt).filter((attempt) => attempt > 0);
}

function assertSilent(lines: readonly string[], secrets: readonly string[]): void {
  for (const secret of secrets) {
    assert.deepEqual(lines.filter((line) => line.includes(secret)), []);
  }
}

Deno.test("a user and a password, in settings of their own or in the URL", async () => {
  await using dir = await makeTempDir();
  const wrong = SECRET.replace("s3", "S4");
  await tryOut({
    config: `authorization { user: edge, password: "${SECRET}" }`,
    right: { user_name: "edge", user_password: SECRET },
    wrong: [
      { settings: {}, says: /Authorization Violation/ },
      { settings: { user_name: "edge", user_password: wrong }, says: /Authorization Violation/ },
    ],
    secrets: [SECRET, "cr3t", "with@signs", wrong],
  });
  await using server = await startNatsServer({
    config: `authorization { user: edge, password: "${SECRET}" }`,
  });
  const url = (password: string): Settings => ({
    urls: [`nats://edge:${encodeURIComponent(password)}@127.0.0.1:${server.port}`],
  });
  await using node = await makeNode(dir, 3, server, url(SECRET));
  await node.start();
  await node.kill();
  await using refused = node.launch({ settings: { nats: { ...url(wrong), connect_retries: 0 } } });
  assert.equal(await refused.exited, 1);
  assert.ok(refused.log.has(/Failed to connect to NATS at 127\.0\.0\.1:\d+: .*Authorization Violation/));
  assertSilent([...node.process.log.lines, ...refused.log.lines], ["cr3t", "with%40signs"]);
});

Deno.test("an nkey seed", async () => {
  await using dir = await makeTempDir();
  const [user, stranger] = [nkeys.createUser(), nkeys.createUser()];
  await Deno.writeFile(dir.file("seed"), user.getSeed());
  await Deno.writeFile(dir.file("stranger"), stranger.getSeed());
  const texts = [user, stranger].map((key) => new TextDecoder().decode(key.getSeed()));
  await tryOut({
    config: `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }`,
    right: { seed_file: dir.file("seed") },
    wrong: [
      { settings: {}, says: /Authorization Violation/ },
      { settings: { seed_file: dir.file("stranger") }, says: /Authorization Violation/ },
    ],
    secrets: texts,
  });
});

Deno.test("a credentials file", async () => {
  await using dir = await makeTempDir();
  const { config, credentials, strangeCredentials } = makeOperator();
  await Deno.writeTextFile(dir.file("user.creds"), credentials);
  await Deno.writeTextFile(dir.file("stranger.creds"), strangeCredentials);
  await Deno.writeTextFile(dir.file("broken.creds"), `nothing but ${SECRET}`);
  const seeds = [credentials, strangeCredentials].map((text) => /^SU[A-Z2-7]{20,}$/m.exec(text)![0]);
  const says = /Authorization Violation/;
  await tryOut({
    config,
    right: { creds_file: dir.file("user.creds") },
    wrong: [
      { settings: { creds_file: dir.file("stranger.creds") }, says },
      {
        settings: { creds_file: dir.file("broken.creds") },
        says: /credentials file ".*broken\.creds" is not usable/,
      },
    ],
    secrets: [...seeds, SECRET],
  });
});

Deno.test("TLS with an authority of one's own, and certificates on both sides", async () => {
  await using dir = await makeTempDir();
  await makeCertificates(dir);
  const server = `cert_file: "${dir.file("server.pem")}", key_file: "${dir.file("server.key")}"`;
  const ca = { ca_file: dir.file("ca.pem") };
  const keys = ["client.key", "server.key"].map((name) =>
    Deno.readTextFileSync(dir.file(name)).split("\n")[1]!
  );
  await tryOut({
    config: `tls { ${server} }`,
    right: ca,
    wrong: [
      { settings: {}, says: /certificate|UnknownIssuer/i },
      { settings: { ca_file: dir.file("other-ca.pem") }, says: /certificate|UnknownIssuer/i },
    ],
    secrets: keys,
  });
  const pair = (name: string): Settings => ({
    cert_file: dir.file(`${name}.pem`),
    key_file: dir.file(`${name}.key`),
  });
  await tryOut({
    config: `tls { ${server}, ca_file: "${dir.file("ca.pem")}", verify: true }`,
    right: { ...ca, ...pair("client") },
    wrong: [
      { settings: ca, says: /demands a client certificate/ },
      { settings: { ...ca, ...pair("stranger") }, says: /Failed to connect to NATS at 127\.0\.0\.1/ },
    ],
    secrets: keys,
  });
});

Deno.test("clusters that share a server hear nothing of each other: by account, or by both prefixes", async () => {
  await using dir = await makeTempDir();
  await using server = await startNatsServer({
    config: `accounts {
      A { jetstream: enabled, users: [ { user: a, password: "${SECRET}" } ] }
      B { jetstream: enabled, users: [ { user: b, password: "${SECRET}" } ] }
    }`,
  });
  const login = (user: string): Settings => ({ user_name: user, user_password: SECRET });
  const prefixes = { stream_prefix: "others", subject_prefix: "other-log" };
  // Nodes of different clusters may have one id; and each cluster has snapshots of its own, under the default names.
  const folders = ["a", "b", "prefix"].map((name) => ({ path: dir.file(name) }));
  for (const { path } of folders) await Deno.mkdir(path);
  const [a, b, c] = folders as [{ path: string }, { path: string }, { path: string }];
  const snapshot = { enabled: true };
  const nodes = await Promise.all([
    makeNode(a, 1, server, login("a"), snapshot),
    makeNode(a, 2, server, login("a"), snapshot),
    makeNode(b, 1, server, login("b"), snapshot),
    makeNode(c, 1, server, { ...login("a"), ...prefixes }, snapshot),
  ]);
  await using _nodes = {
    [Symbol.asyncDispose]: () => Promise.all(nodes.map((node) => node[Symbol.asyncDispose]())).then(() => {}),
  };
  const [one, two, account, prefix] = nodes as [ClusterNode, ClusterNode, ClusterNode, ClusterNode];
  const texts = (): string[] => nodes.map((node) => node.read("SELECT text FROM notes").join());
  // One key, so that whatever leaked would be seen as an overwritten row.
  const written = ["a", "a", "b", "prefix"];
  for (const [at, name] of [[1, "a"], [2, "b"], [3, "prefix"]] as const) {
    await nodes[at]!.start();
    await nodes[at]!.sql(`INSERT INTO notes VALUES (1, '${name}');`);
    await converge([nodes[at]!]);
  }
  await one.start();
  await Promise.all([converge([one, two]), converge([account]), converge([prefix])]);
  assert.deepEqual(texts(), written);
  for (const [node, others] of [[one, 1], [account, 0], [prefix, 0]] as const) {
    await using verify = node.command(["verify", "--json"]);
    await verify.exited;
    assert.equal(JSON.parse(verify.output.lines.at(-1)!).nodes.length, others, verify.log.tail());
  }

  // Each cluster has one that takes the snapshots, and a database that is gone comes back from its own cluster's.
  for (const node of [two, account, prefix]) {
    await using saving = node.command(["snapshot", "save"]);
    assert.equal(await saving.exited, 0, saving.log.tail());
    await node.stop();
    for (const end of ["", "-wal", "-shm"]) await Deno.remove(node.dbPath + end).catch(() => {});
    await node.start();
    assert.ok(node.process.log.has("Restored from snapshot"), node.process.log.tail());
  }
  assert.deepEqual(texts(), written);
  const said = nodes.flatMap(({ process }) => process.log.lines);
  assert.deepEqual(said.filter((line) => line.includes("run with the same node_id")), []);

  // With one prefix of the two, clusters would mix.
  const half = await makeNode(dir, 5, server, { ...login("a"), stream_prefix: "others" });
  await using refused = half.launch();
  assert.equal(await refused.exited, 1);
  assert.ok(refused.log.has(/belongs to stream .* of another cluster/), refused.log.tail());
  assert.deepEqual(texts(), written);
});
