/** What is promised of the program, in each form that users have it in. */
import assert from "node:assert/strict";
import { startS3Lab } from "../contract/s3_store_lab.ts";
import { startSftpLab } from "../contract/sftp_store_lab.ts";
import type { StoreLab } from "../contract/snapshot_store_lab.ts";
import { startWebdavLab } from "../contract/webdav_store_lab.ts";
import { ClusterNode, converge } from "../support/cluster.ts";
import { createDatabase } from "../support/database.ts";
import { isListening, serverOf } from "../support/embedded_cluster.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/nats_server.ts";
import { type NodeOptions, type Settings, writeNodeConfig } from "../support/node_process.ts";
import { runProgram, startProcess } from "../support/process.ts";
import { buildPrograms, type Program } from "../support/programs.ts";
import { makeTempDir, type TempDir } from "../support/temp.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";
/** Two nodes take the port of one after the other; a locked program is unpacked at its first start. */
const START_MS = 60_000;

/** Where nodes have their files. The folder of the log is the system's: a locked program may use the log in it, nothing else. */
interface Places {
  readonly dir: TempDir;
  readonly logs: TempDir;
}

/** A node with a database, run by a program; not started. */
async function prepareNode(
  { dir, logs }: Places,
  program: Program,
  id: number,
  nats: Settings,
): Promise<ClusterNode> {
  const options: NodeOptions = {
    dir: dir.path,
    nodeId: id,
    dbPath: dir.file(`node-${id}.db`),
    settings: {
      nats,
      snapshot: { enabled: true },
      logging: { file: logs.file(`node-${id}.log`) },
      prometheus: { enable: true, bind: `0.0.0.0:${freePort()}` },
      health_check: { enable: true, bind: `127.0.0.1:${freePort()}` },
    },
    env: program.env,
  };
  await createDatabase(options.dbPath, SCHEMA);
  return new ClusterNode({ ...options, program: await program.command(writeNodeConfig(options)) });
}

/** The first has a server of its own, which the second uses: by a name that is looked up. */
async function prepareNodes(places: Places, program: Program): Promise<[ClusterNode, ClusterNode]> {
  const port = freePort();
  return [
    await prepareNode(places, program, 1, {
      urls: [],
      bind_address: `127.0.0.1:${port}`,
      monitor_address: `127.0.0.1:${freePort()}`,
    }),
    await prepareNode(places, program, 2, { urls: [`nats://localhost:${port}`] }),
  ];
}

/** Standard output of a command that must succeed. */
async function outputOf(node: ClusterNode, ...words: string[]): Promise<string> {
  await using command = node.command(words);
  assert.equal(await command.exited, 0, command.log.tail());
  return command.output.lines.join("\n");
}

/** What the system calls a process and those that it has started. */
function processNames(pid: number): string[] {
  const nameOf = (id: string): string => Deno.readTextFileSync(`/proc/${id}/comm`).trim();
  const threads = [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) => name);
  const children = threads.flatMap((thread) =>
    Deno.readTextFileSync(`/proc/${pid}/task/${thread}/children`).split(" ").filter((id) => id.trim() !== "")
  );
  return [nameOf(String(pid)), ...children.map(nameOf)];
}

function textAt(node: ClusterNode, id: number): unknown {
  return node.read("SELECT text FROM notes WHERE id = ?", id)[0]?.[0];
}

/** What `doctor --json` finds, as `verdict check: text`, by name of the check. */
async function examine(
  node: ClusterNode,
  words: string[],
  changes: Partial<NodeOptions> = {},
): Promise<Map<string, string>> {
  await using command = node.command(["doctor", "--json", ...words], changes);
  await command.exited;
  const text = command.output.lines.join("\n");
  assert.ok(text.startsWith("{"), command.log.tail());
  const { checks } = JSON.parse(text) as { checks: { check: string; verdict: string; text: string }[] };
  return new Map(checks.map(({ check, verdict, text }) => [check, `${verdict}: ${text}`]));
}

/** That a program which may do less says so of the checks that it cannot make, and makes the others. */
function assertWell(found: Map<string, string>, program: Program): void {
  const failed = [...found].filter(([, finding]) => finding.startsWith("fail"));
  assert.deepEqual(failed, []);
  const locked = [...found].filter(([, finding]) => /^skipped: this program is locked/.test(finding));
  const expected = {
    "deno run": [],
    portable: ["file_system", "open_files"],
    compiled: ["file_system", "disk_space", "ports", "open_files"],
  };
  assert.deepEqual(locked.map(([name]) => name), expected[program.name as keyof typeof expected]);
}

/** Of the node with its own server; into another folder, where the program is not locked for good. */
async function tryBundle(node: ClusterNode, dir: TempDir, program: Program): Promise<void> {
  await using outside = await makeTempDir();
  const file = program.name === "compiled" ? dir.file("diag.tar.gz") : outside.file("diag.tar.gz");
  assertWell(await examine(node, ["--bundle", file]), program);
  const files = (await runProgram("tar", ["-tzf", file])).trim().split("\n")
    .map((name) => name.replace("harmonylite-diag/", ""));
  const expected = ["doctor.txt", "doctor.json", "version.txt", "config.toml", "environment.txt"];
  expected.push("harmonylite.log", "schema.sql", "streams.json", "metrics.txt", "health.json");
  assert.deepEqual(files, [...expected, "nats-varz.json", "nats-jsz.json"]);
}

/** Everything that is asked of each program, on two nodes. */
async function tryProgram(t: Deno.TestContext, dir: TempDir, program: Program): Promise<void> {
  await using logs = await makeTempDir();
  const [first, second] = await prepareNodes({ dir, logs }, program);
  await using _first = first;
  await using _second = second;

  await t.step("version", async () => {
    const [command, ...args] = [...first.options.program!, "version"];
    const text = await runProgram(command!, args, { env: { ...program.env } });
    assert.match(text, /^harmonylite \d+\.\d+\.\d+ \(deno [\d.]+, sqlite 3\.[\d.]+\)\n$/);
  });
  await t.step("check", async () => {
    assert.match(await outputOf(first, "check"), /Configuration is valid: /);
    await using wrong = first.command(["check"], { top: { scan_max_changes: 0 } });
    assert.equal(await wrong.exited, 1);
    assert.ok(wrong.log.has(/node-1\.toml:\d+: scan_max_changes must be/), wrong.log.tail());
  });
  await t.step("run: rows go both ways, through a nats-server of the node's own", async () => {
    await first.start({}, START_MS);
    await second.start({}, START_MS);
    await first.sql("INSERT INTO notes VALUES (1, 'one');");
    await eventually("the row has come", () => assert.equal(textAt(second, 1), "one"));
    await second.sql("INSERT INTO notes VALUES (2, 'two');");
    await converge([first, second]);
    if (Deno.build.os === "linux" && program.name !== "compiled") {
      assert.ok(!first.process.log.has("polling instead"), first.process.log.tail());
    }
    assert.ok(Deno.readTextFileSync(logs.file("node-2.log")).includes("Caught up with the streams"));
  });
  if (program.isExecutable && Deno.build.os === "linux") {
    await t.step("it is one process, called harmonylite, and its nats-server", () => {
      assert.deepEqual(processNames(first.process.pid), ["harmonylite", "nats-server"]);
      assert.deepEqual(processNames(second.process.pid), ["harmonylite"]);
    });
  }
  await t.step("metrics and health are served", async () => {
    const { prometheus, health_check: health } = first.options.settings!;
    const get = async (bind: unknown, path: string): Promise<string> =>
      await (await fetch(`http://${String(bind).replace("0.0.0.0", "127.0.0.1")}${path}`)).text();
    assert.match(await get(prometheus!["bind"], "/metrics"), /^harmonylite_published 1$/m);
    assert.match(await get(health!["bind"], "/health"), /"status":"healthy"/);
    assert.match(await get(health!["bind"], "/"), /<html/);
  });
  await t.step("status, schema, ids, verify", async () => {
    assert.match(await outputOf(second, "status"), /^Node 2: replicating/);
    assert.match(await outputOf(second, "schema", "--cluster"), /Status: Consistent/);
    assert.match(await outputOf(second, "ids"), /^Node 2 takes the ids 2000000000001 /);
    await outputOf(second, "verify");
    assert.match(await outputOf(second, "conflicts", "list"), /No write was overridden/);
  });
  await t.step("snapshot save, list, verify, download", async () => {
    assert.match(await outputOf(second, "-save-snapshot"), /snapshot-\w+\.db/);
    assert.match(await outputOf(second, "snapshot", "list"), /node 2/);
    assert.match(await outputOf(second, "snapshot", "verify"), /whole/);
    await outputOf(second, "snapshot", "download", "--generation", "1", "--output", dir.file("other.db"));
    assert.ok(Deno.statSync(dir.file("other.db")).size > 0);
  });
  await t.step("doctor, with a bundle, and of a configuration that is wrong", async () => {
    assertWell(await examine(second, []), program);
    await tryBundle(first, dir, program);
    const broken = await examine(second, [], { top: { scan_max_changes: 0 } });
    assert.match(broken.get("configuration")!, /^fail/);
    assert.match(broken.get("nats")!, /^ok/);
  });
  await t.step("stop ends the running node, and doctor and status say so", async () => {
    assert.match(await outputOf(second, "stop"), /has stopped/);
    assert.equal(await second.process.exited, 0, second.process.log.tail());
    assert.match((await examine(second, [])).get("node")!, /^warn: Node 2 does not run/);
    await using status = second.command(["status"]);
    assert.equal(await status.exited, 1);
    await second.start({}, START_MS);
  });
  await t.step("cleanup stops the running node", async () => {
    await outputOf(second, "cleanup");
    assert.equal(await second.process.exited, 0, second.process.log.tail());
    assert.equal(second.count("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 0);
  });
  await t.step("SIGTERM ends it in good order, and its nats-server with it", async () => {
    const { port } = serverOf(first);
    assert.equal(await first.stop(), 0, first.process.log.tail());
    assert.ok(first.process.log.has("HarmonyLite has stopped"));
    assert.ok(!isListening(port));
  });
}

/** In place of the program: tells what came of each thing that none may do, and of some that it may. */
const INTRUDER = `
const [folder, natsServer] = Deno.args;
const [{ DatabaseSync }, fs, net] = await Promise.all(["node:sqlite", "node:fs", "node:net"].map((name) => import(name)));
function refusedUnless(granted) {
  if (!granted) throw new Deno.errors.NotCapable("it is not there");
}
const attempts = {
  "read its folder": () => Deno.readDirSync(folder).toArray(),
  "read a file outside": () => Deno.readTextFileSync("/etc/hostname"),
  "read a file outside through Node": () => fs.readFileSync("/etc/hostname"),
  "list a folder outside": () => [...Deno.readDirSync("/etc")],
  "read memory": () => Deno.readFileSync("/proc/self/mem"),
  "write a file outside": () => Deno.writeTextFileSync("/var/tmp/harmonylite-intruder", ""),
  "change the program": () => Deno.writeTextFileSync(natsServer, ""),
  "lead out of its folder": () => Deno.symlinkSync("/etc", folder + "/way-out"),
  "open a database outside": () => new DatabaseSync("/var/tmp/harmonylite-intruder.db").close(),
  "attach a database": () => new DatabaseSync(folder + "/x.db").exec("ATTACH '/etc/x.db' AS x"),
  "load an extension": () => new DatabaseSync(folder + "/x.db", { allowExtension: true }).loadExtension("/lib/x.so"),
  "connect elsewhere": () => Deno.connect({ hostname: "127.0.0.1", port: 9 }),
  "connect elsewhere through Node": () => new Promise((resolve, reject) => net.connect(9, "127.0.0.1", resolve).on("error", reject)),
  "fetch": () => fetch("http://127.0.0.1:12345/"),
  "look a name up": () => Deno.resolveDns("example.com", "A"),
  "listen": () => Deno.listen({ port: 0 }).close(),
  "start a shell": () => new Deno.Command("/bin/sh", { args: ["-c", "exit"] }).outputSync(),
  "start itself": () => new Deno.Command(Deno.execPath(), { args: ["--version"] }).outputSync(),
  "start nats-server": () => new Deno.Command(natsServer, { args: ["--version"] }).outputSync(),
  "signal another process": () => Deno.kill(1, "SIGCONT"),
  "open a library": () => Deno.dlopen("/lib/x86_64-linux-gnu/libc.so.6", {}),
  "import a module from elsewhere": () => import("https://127.0.0.1:12345/x.js"),
  "see a variable": () => refusedUnless("HOME" in Deno.env.toObject() || Deno.env.get("HOME")),
  "see who else is on this machine": () => Deno.networkInterfaces(),
  "ask for more": async () => refusedUnless((await Deno.permissions.request({ name: "run" })).state === "granted"),
};
const outcome = {};
for (const [name, attempt] of Object.entries(attempts)) {
  try {
    await attempt();
    outcome[name] = "done";
  } catch (error) {
    const refused = error instanceof Deno.errors.NotCapable || /requires|not authorized|too many attached|EPERM|unscoped|--no-remote/i.test(String(error));
    outcome[name] = refused ? "refused" : String(error);
  }
}
console.log(JSON.stringify(outcome));
Deno.exit(0);
`;

/** Runs the intruder with the options that a running node was started with. */
async function intrude(node: ClusterNode, dir: TempDir, cache: string): Promise<Map<string, string>> {
  const words = Deno.readTextFileSync(`/proc/${node.process.pid}/cmdline`).split("\0");
  const entry = words.findIndex((word) => word.endsWith("/entry.js"));
  await Deno.writeTextFile(dir.file("intruder.js"), INTRUDER);
  const [runtime, ...options] = words.slice(0, entry);
  assert.ok(runtime!.startsWith(cache), runtime);
  const natsServer = runtime!.replace(/harmonylite$/, "nats-server");
  const output = await runProgram(runtime!, [...options, dir.file("intruder.js"), dir.path, natsServer]);
  return new Map(Object.entries(JSON.parse(output)));
}

/** In the way of a node that holds a configuration for which it was not locked. */
async function refuseOther(node: ClusterNode, dir: TempDir): Promise<void> {
  const words = Deno.readTextFileSync(`/proc/${node.process.pid}/cmdline`).split("\0");
  const entry = words.findIndex((word) => word.endsWith("/entry.js"));
  const other = dir.file("node-1.toml");
  const text = Deno.readTextFileSync(dir.file("node-2.toml")).replace(
    "nats://localhost:",
    "nats://127.0.0.9:",
  );
  Deno.writeTextFileSync(other, text);
  const [runtime, ...options] = words.slice(0, entry + 1);
  await assert.rejects(
    runProgram(runtime!, [...options, "run", "--config", other]),
    /the program was locked to another one, without net "127\.0\.0\.9:\d+"\n {2}Build it for this configuration/,
  );
}

/** With another configuration of the same node, which has its snapshots in a store of their own. */
async function useStore(node: ClusterNode, dir: TempDir, lab: StoreLab): Promise<void> {
  const config = dir.file("store.toml");
  const text = Deno.readTextFileSync(dir.file("node-2.toml"));
  Deno.writeTextFileSync(
    config,
    `${text.replace("[snapshot]\nenabled = true\n", "")}\n${lab.toml("locked")}\n`,
  );
  for (const words of ["snapshot save", "snapshot verify"]) {
    await using command = startProcess({
      name: words,
      command: node.options.program![0]!,
      args: [...words.split(" "), "--config", config],
      env: node.options.env!,
    });
    assert.equal(await command.exited, 0, command.log.tail());
  }
}

Deno.test("each form of the program does what is promised, and the locked one nothing else", async (t) => {
  await using folder = await makeTempDir();
  const programs = await buildPrograms(folder.path);
  if (!Deno.env.get("SKIP")) {
    for (const program of programs) {
      await using dir = await makeTempDir();
      await t.step(program.name, (t) => tryProgram(t, dir, program));
    }
  }
  console.log(`programs tried: ${programs.map(({ name }) => name).join(", ")}`);

  const portable = programs.find(({ name }) => name === "portable")!;
  await t.step("the locked program can do nothing else", async (t) => {
    await using dir = await makeTempDir();
    await using logs = await makeTempDir();
    const [first, second] = await prepareNodes({ dir, logs }, portable);
    await using _first = first;
    await using _second = second;
    await first.start({}, START_MS);
    await second.start({}, START_MS);
    for (const node of [first, second]) {
      const outcome = await intrude(node, dir, folder.path);
      const allowed = node === first ? ["read its folder", "start nats-server"] : ["read its folder"];
      for (const [name, result] of outcome) {
        assert.equal(result, allowed.includes(name) ? "done" : "refused", `${name}: ${result}`);
      }
      assert.equal(outcome.size, 25);
    }
    await refuseOther(second, dir);
    await t.step("but it reaches the store that the configuration names", async (t) => {
      for (const startLab of [startS3Lab, startWebdavLab, startSftpLab]) {
        await using lab = await startLab();
        await t.step(lab.adapter, () => useStore(second, dir, lab));
      }
    });
  });
});
