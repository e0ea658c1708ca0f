import { DatabaseSync } from "node:sqlite";
import assert from "node:assert/strict";
import { APPLICATION_SCHEMA } from "../support/application.ts";
import { startApplication } from "../support/application_process.ts";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { createDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, natsServerBinary } from "../support/nats_server.ts";
import { startNode, startNodeCommand } from "../support/node_process.ts";
import { runProgram, type TestProcess } from "../support/process.ts";
import { makeTempDir } from "../support/temp.ts";

/** What `doctor --json` prints. */
interface Told {
  readonly verdict: string;
  readonly process: number | null;
  readonly checks: readonly { readonly check: string; readonly verdict: string; readonly text: string }[];
}

interface Answer {
  readonly code: number;
  /** Verdict and text by name of the check. */
  readonly found: Readonly<Record<string, string>>;
  /** What is not well. */
  readonly wrong: readonly string[];
  readonly told: Told;
}

async function examine(process: TestProcess): Promise<Answer> {
  const code = await process.exited;
  const text = process.output.lines.join("\n");
  assert.ok(text.startsWith("{"), process.log.tail());
  const told = JSON.parse(text) as Told;
  return {
    code,
    told,
    found: Object.fromEntries(told.checks.map(({ check, verdict, text }) => [check, `${verdict}: ${text}`])),
    wrong: told.checks.filter(({ verdict }) => !["ok", "skipped"].includes(verdict))
      .map(({ check, verdict, text }) => `${verdict} ${check}: ${text}`),
  };
}

function doctor(node: ClusterNode, ...words: string[]): Promise<Answer> {
  return examine(node.command(["doctor", "--json", ...words]));
}

const SCHEMA =
  `CREATE TABLE notes (id TEXT PRIMARY KEY, n); CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, n);
  ${APPLICATION_SCHEMA}`;

Deno.test("doctor beside running nodes: well, two counting ids, NATS gone, a lock that does not end, a broken configuration", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = cluster.nodes as [ClusterNode, ClusterNode];
  await first.sql("INSERT INTO notes VALUES ('a', 1);");
  await second.sql("INSERT INTO notes VALUES ('b', 1);");
  await cluster.converge();

  await using application = await startApplication({ db: first.dbPath, rate: 200 });
  const well = await doctor(first);
  assert.deepEqual([well.code, well.wrong], [0, []]);
  assert.equal(well.told.process, first.process.pid);
  assert.match(well.found["schema"]!, /^ok: Equal on 2 nodes/);
  assert.match(well.found["other_nodes"]!, /^ok: 1 other node, all well/);
  assert.match(well.found["clock"]!, /^ok: It agrees with that of the NATS server, node 2/);
  assert.equal((await application.stop()).errors, 0, "the application is not disturbed");
  await cluster.converge();

  await first.sql("INSERT INTO counted (n) VALUES (1), (2), (3);");
  await cluster.converge();
  await second.sql("INSERT INTO counted (n) VALUES (4);");
  await cluster.converge();
  const counting = await doctor(second);
  assert.deepEqual([counting.code, counting.wrong.length], [3, 1]);
  assert.match(counting.found["number_keys"]!, /^warn: Several nodes write to 1 table/);
  // The cure: each names its ids.
  const next = async (node: ClusterNode): Promise<string> => {
    const ids = node.command(["ids", "--json"]);
    assert.equal(await ids.exited, 0, ids.log.tail());
    return JSON.parse(ids.output.lines.join("\n")).tables.find((each: { table: string }) =>
      each.table === "counted"
    ).next_id_sql;
  };
  const [mine, theirs] = await Promise.all([next(first), next(second)]);
  await Promise.all([
    first.sql(
      `INSERT INTO counted VALUES (${mine}, 'first'); INSERT INTO counted VALUES (${mine}, 'first');`,
    ),
    second.sql(
      `INSERT INTO counted VALUES (${theirs}, 'second'); INSERT INTO counted VALUES (${theirs}, 'second');`,
    ),
  ]);
  await cluster.converge();
  assert.deepEqual(
    first.read("SELECT id, n FROM counted WHERE typeof(n) = 'text' ORDER BY id").map((row) => row.join(" ")),
    ["1000000000001 first", "1000000000002 first", "2000000000001 second", "2000000000002 second"],
  );

  await cluster.nats.kill();
  await first.sql("INSERT INTO notes VALUES ('while away', 1);");
  const alone = await doctor(first);
  assert.equal(alone.code, 1);
  assert.match(alone.found["nats"]!, /^fail: Failed to connect to NATS at 127\.0\.0\.1:\d+/);
  assert.match(alone.found["node"]!, /^ok: Node 1 runs/);
  assert.match(alone.found["pending"]!, /^ok: 1 change waits to be sent/);
  assert.match(alone.found["streams"]!, /^skipped: NATS cannot be reached/);
  assert.match(alone.found["integrity"]!, /^ok/);
  await cluster.nats.start();
  await cluster.converge();

  {
    using application = new DatabaseSync(first.dbPath, { timeout: 10_000 });
    application.exec("BEGIN IMMEDIATE");
    const locked = await doctor(first);
    assert.equal(locked.code, 1);
    assert.match(locked.found["locks"]!, /^fail: Another process has kept all other writers out/);
    assert.match(locked.found["nats"]!, /^ok/);
    application.exec("ROLLBACK");
  }
  await cluster.converge();

  const broken = await doctor(first, "--nats-urls", "http://x");
  assert.equal(broken.code, 1);
  assert.match(broken.found["configuration"]!, /^fail: Invalid configuration/);
  assert.match(broken.found["database"]!, /^ok/);
});

Deno.test("a node with its own server: doctor finds it running and stopped, mends what a stopped one may, and packs a bundle", async () => {
  await using dir = await makeTempDir();
  const monitor = `127.0.0.1:${freePort()}`;
  const options = {
    dir: dir.path,
    nodeId: 1,
    dbPath: dir.file("app.db"),
    settings: {
      nats: { monitor_address: monitor },
      logging: { file: dir.file("node.log") },
      prometheus: { enable: true, bind: `127.0.0.1:${freePort()}` },
      health_check: { enable: true, bind: `127.0.0.1:${freePort()}` },
    },
    env: { NATS_SERVER: await natsServerBinary() },
  };
  await createDatabase(options.dbPath, SCHEMA);
  await using node = startNode(options);
  await node.waitForLog("Caught up with the streams");
  const call = (...words: string[]): TestProcess => startNodeCommand(options, ["doctor", ...words]);

  await using running = call("--bundle", dir.file("diag.tar.gz"));
  assert.equal(await running.exited, 0, running.log.tail(60));
  assert.match(
    running.output.lines.join("\n"),
    /^ok {6}nats {12}Connected to 127\.0\.0\.1:\d+, which answers within \d+ ms$/m,
  );
  assert.match(running.output.lines.join("\n"), /^\d+ ok, 0 warn, 0 fail, \d+ skipped$/m);
  const read = (name: string): Promise<string> =>
    runProgram("tar", ["xzOf", dir.file("diag.tar.gz"), `harmonylite-diag/${name}`]);
  assert.equal(JSON.parse(await read("nats-varz.json")).server_name, "harmonylite-node-1");
  assert.match(await read("nats-jsz.json"), /harmonylite-changes-c-1/);
  assert.match(await read("metrics.txt"), /^harmonylite_pending_publish /m);
  assert.equal(JSON.parse(await read("health.json")).node_id, 1);
  assert.match(await read("streams.json"), /harmonylite-changes-c-1/);
  assert.match(await read("harmonylite.log"), /Caught up with the streams/);

  await node.kill("SIGKILL");
  await eventually(
    "its server has gone as well",
    () =>
      Deno.connect({ hostname: "127.0.0.1", port: Number(monitor.split(":")[1]) }).then(
        (connection) => {
          connection.close();
          return false;
        },
        () => true,
      ),
  );
  await Deno.writeTextFile(`${dir.path}/node-1-seq-map.cbor`, "torn", { mode: 0o600 });
  {
    using application = new DatabaseSync(options.dbPath, { timeout: 10_000 });
    application.exec(
      "DROP TRIGGER __harmonylite__notes_change_log_on_update; INSERT INTO notes VALUES ('x', 1)",
    );
  }
  const stopped = await examine(call("--json"));
  assert.equal(stopped.code, 3);
  assert.deepEqual(stopped.wrong.map((line) => line.split(":")[0]), [
    "warn node",
    "warn capture",
    "warn pending",
    "warn sequence_map",
  ]);
  assert.match(stopped.found["nats"]!, /^skipped: the node runs its own server, and does not run now/);
  const mended = await examine(call("--json", "--fix"));
  assert.deepEqual(mended.wrong.map((line) => line.split(":")[0]), ["warn node", "warn pending"]);

  await using again = startNode(options);
  await again.waitForLog("Caught up with the streams");
  assert.ok(!again.log.has("Triggers installed"), "all was in place");
});
