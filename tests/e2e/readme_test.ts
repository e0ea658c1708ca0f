import assert from "node:assert/strict";
import { parseCompileOptions } from "../../scripts/compile/options.ts";
import { parseCommand } from "../../src/cli/parse_command.ts";
import { findNatsServer } from "../../src/nats/server_binary.ts";
import { assertSameContent, createDatabase, runSql } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/nats_server.ts";
import { CHECKOUT_PROGRAM, ROOT, startNode } from "../support/node_process.ts";
import { runProgram, startProcess, type TestProcess } from "../support/process.ts";
import { type Block, readBlocks } from "../support/readme.ts";
import { makeTempDir } from "../support/temp.ts";

const BLOCKS = readBlocks(Deno.readTextFileSync(`${ROOT}README.md`));
const STATEMENTS = BLOCKS.filter(({ language }) => language === "sh").flatMap(({ statements }) => statements);

/** Programs whose commands are run here as they stand in the README; `systemctl` has a stand-in. */
const RUN =
  /^(?:harmonylite|deno run -A main\.ts|sqlite3|mkdir|for|grep|rm|cp|chmod|curl|sleep [\d.]+;|systemctl) /;
/** Statements that are not run here, by how they begin, each with the reason. */
const NOT_RUN: Readonly<Record<string, string>> = {
  "npx -y deno@2.9.6 task demo": "demo_test runs it",
  "npx -y deno@2.9.6 task test": "runs this; .ci/run is the same",
  "deno task compile": "program_test builds and runs it; its options are parsed here",
  "./harmonylite version": "of the portable file: program_test",
  "./harmonylite run": "of the portable file: program_test",
  "install -": "wants the user root, and changes the system",
  "useradd": "changes the users of the system",
  "chgrp": "wants that user",
  "systemctl daemon-reload": "there is no systemd",
  "journalctl": "there is no systemd",
  "docker": "there is no daemon",
  "kubectl": "there is no Kubernetes",
  "harmonylite -config config.toml -cluster-addr": "wants three machines: embedded_test has three servers",
  "harmonylite status --watch": "does not end by itself: status_test",
  "harmonylite -config /etc/harmonylite/config.toml":
    "does not end by itself; upgrade_test takes over what Go left",
  "nats": "the nats program is not here; recovery_procedures_test asks the server likewise",
};
/** Exit codes other than 0, by the statement. */
const EXIT_CODES: Readonly<Record<string, readonly number[]>> = {
  // The ids of the service's table are counted up on two nodes.
  "harmonylite doctor": [3],
  "harmonylite doctor --fix": [3],
  "harmonylite doctor --bundle harmonylite-diag.tar.gz": [3],
  // Nothing was overridden; conflict_test has a write to put back.
  "harmonylite conflicts restore 1": [1],
};
/** What the log of the service tells after the procedure of a section. */
const TOLD: Readonly<Record<string, string>> = {
  "A database that is damaged, or a node to be built anew": "Restored from snapshot",
  "A node that should look again at what it has": "Compared rows with other nodes nodes=2 verdict=equal",
};
const SCHEMA = "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);";
const AT_WORK = "Caught up with the streams";
/** Other tests may have this machine, too. */
const PATIENCE = { timeoutMs: 120_000, intervalMs: 100 };

/** What a shell has left when the user is changed and what follows `#` is gone. */
function bare(statement: string): string {
  return statement.replace(/^sudo (?:-u harmonylite )?/, "").replace(/ +# .*$/, "");
}

function reasonNotToRun(statement: string): string | undefined {
  return Object.entries(NOT_RUN).find(([start]) => bare(statement).startsWith(start))?.[1];
}

Deno.test("every command in the README is one that is run, or is known not to be", () => {
  assert.ok(STATEMENTS.length > 50);
  const unknown = STATEMENTS.filter((statement) =>
    reasonNotToRun(statement) === undefined && !RUN.test(bare(statement))
  );
  assert.deepEqual(unknown, []);
  const stale = Object.keys(NOT_RUN).filter((start) =>
    !STATEMENTS.some((statement) => bare(statement).startsWith(start))
  );
  assert.deepEqual(stale, []);
});

Deno.test("every command line of the program in the README can be understood, those that are not run, too", () => {
  const lines = STATEMENTS.map((statement) => bare(statement).replace(/ 2>.*/, ""));
  const commands = lines.flatMap((line) =>
    /^(?:deno run -A main\.ts|(?:\.\/)?harmonylite) (.*)$/.exec(line)?.[1] ?? []
  );
  assert.ok(commands.length > 30);
  for (const command of commands) parseCommand(command.trim().split(/\s+/));
  const builds = lines.flatMap((line) => /^deno task compile (.*)$/.exec(line)?.[1] ?? []);
  assert.ok(builds.length > 1);
  for (const build of builds) {
    assert.notEqual(parseCompileOptions(build.split(" "), "x86_64-unknown-linux-gnu"), "help");
  }
});

/** A machine on which the README is followed: its folders and ports stand for those of the document. */
class Reader implements AsyncDisposable {
  readonly #dir: string;
  readonly #names: Readonly<Record<string, string>>;
  readonly #ports: Readonly<Record<string, number>>;
  readonly #processes = new AsyncDisposableStack();
  readonly #natsServer: string;
  /** Of the unit `harmonylite`, once it was started. */
  #service: TestProcess | undefined;
  /** A second node, which has what the first one may lose. */
  #other: { readonly dbPath: string; readonly process: TestProcess } | undefined;
  #rows = 0;

  constructor(dir: string, natsServer: string) {
    this.#dir = dir;
    this.#natsServer = natsServer;
    const ports = ["4222", "8222", "3010", "8090"];
    this.#ports = Object.fromEntries(ports.map((port) => [port, freePort()]));
    this.#names = {
      "~/": `${dir}/home/`,
      "/etc/harmonylite": `${dir}/etc`,
      "/var/lib/harmonylite": `${dir}/lib`,
      " main.ts": ` ${ROOT}main.ts`,
      ...Object.fromEntries(ports.map((port) => [`127.0.0.1:${port}`, `127.0.0.1:${this.#ports[port]}`])),
    };
  }

  static async open(dir: string): Promise<Reader> {
    for (const name of ["bin", "home", "etc", "lib"]) await Deno.mkdir(`${dir}/${name}`);
    await Deno.symlink(Deno.execPath(), `${dir}/bin/deno`);
    const program = CHECKOUT_PROGRAM.map((word) => `'${word}'`).join(" ");
    await Deno.writeTextFile(`${dir}/bin/harmonylite`, `#!/bin/sh\nexec ${program} "$@"\n`, { mode: 0o755 });
    await createDatabase(`${dir}/lib/data.db`, SCHEMA);
    return new Reader(dir, await findNatsServer());
  }

  /** Does what a block says, and sees that both nodes of the service still get what the other one writes. */
  async follow({ section, language, statements }: Block): Promise<void> {
    if (section === "Snapshots") await this.#run("harmonylite snapshot save"); // That of Monday.
    for (const statement of statements) {
      if (language === "sql") await runSql(`${this.#dir}/lib/data.db`, statement);
      else if (reasonNotToRun(statement) === undefined) await this.#do(bare(statement), statement);
    }
    const [, change] = /'(ALTER TABLE .*)'/.exec(statements.join("\n")) ?? [];
    if (change !== undefined) await runSql(this.#other!.dbPath, change); // On every node.
    await this.#settle();
    const told = TOLD[section];
    if (told !== undefined) await this.#service!.waitForLog(told);
  }

  async #do(statement: string, whole: string): Promise<void> {
    if (statement.startsWith("systemctl ")) return await this.#control(statement.split(" ")[1]!);
    if (statement.endsWith("&")) return await this.#start(statement.slice(0, -1));
    const [, waiting] = /^sleep [\d.]+; (.*)$/.exec(statement) ?? [];
    if (waiting === undefined) return await this.#run(statement);
    const [, wanted] = / # (.*)$/.exec(whole) ?? [];
    await eventually(whole, async () => {
      const output = await runProgram("bash", ["-ec", this.#here(waiting)], this.#place());
      return wanted === undefined || output.trim() === wanted;
    }, PATIENCE);
  }

  /** In the words of this machine. */
  #here(statement: string): string {
    const moment = statement.replace("2026-11-21T15:54:03Z", new Date().toISOString());
    return Object.entries(this.#names).reduce((text, [name, ours]) => text.replaceAll(name, ours), moment);
  }

  #place(): { cwd: string; env: Record<string, string> } {
    const path = `${this.#dir}/bin:${Deno.env.get("PATH")}`;
    const env = { PATH: path, NATS_SERVER: this.#natsServer, HARMONYLITE_CLEANUP_INTERVAL: "500" };
    const cwd = `${this.#dir}/etc`; // Where the program finds its configuration without being told.
    if (this.#service === undefined) return { cwd, env };
    const bind = (port: string): string => `127.0.0.1:${this.#ports[port]}`;
    const served = {
      HARMONYLITE_PROMETHEUS_ENABLE: "true",
      HARMONYLITE_PROMETHEUS_BIND: bind("3010"),
      HARMONYLITE_HEALTH_CHECK_ENABLE: "true",
      HARMONYLITE_HEALTH_CHECK_BIND: bind("8090"),
    };
    return { cwd, env: { ...env, ...served } };
  }

  async #run(statement: string): Promise<void> {
    const words = this.#here(statement);
    await using process = startProcess({
      name: statement,
      command: "bash",
      args: ["-e", "-o", "pipefail", "-c", words],
      ...this.#place(),
    });
    const code = await process.exited;
    assert.ok((EXIT_CODES[statement] ?? [0]).includes(code), `${statement}: ${code}\n${process.log.tail()}`);
    // The ports that `init` writes may be a neighbour's.
    const [, config] = / init (\S+)/.exec(words) ?? [];
    if (config !== undefined) await Deno.writeTextFile(config, this.#here(await Deno.readTextFile(config)));
  }

  /** In the background; its log goes where the statement says. */
  async #start(statement: string): Promise<void> {
    const words = this.#here(statement);
    const args = ["-ec", `exec ${words}`];
    this.#processes.use(startProcess({ name: statement, command: "bash", args, ...this.#place() }));
    const log = / 2> (\S+)/.exec(words)![1]!;
    await eventually(statement, () => Deno.readTextFileSync(log).includes(AT_WORK), PATIENCE);
  }

  /** As systemd does it with the unit of scripts/install. */
  async #control(verb: string): Promise<void> {
    if (["stop", "restart"].includes(verb) && this.#service?.running) {
      assert.equal(await this.#service.stop(), 0);
    }
    if (["start", "restart", "enable"].includes(verb) && !this.#service?.running) await this.#startService();
  }

  async #startService(): Promise<void> {
    const isFirst = this.#service === undefined;
    this.#service = this.#processes.use(startProcess({
      name: "service",
      command: `${this.#dir}/bin/harmonylite`,
      args: ["-config", `${this.#dir}/etc/config.toml`],
      env: this.#place().env,
      cwd: `${this.#dir}/lib`,
    }));
    await this.#service.waitForLog(AT_WORK, PATIENCE);
    if (!isFirst) return;
    await this.#startOther();
    await this.#control("restart"); // Now with metrics and health.
  }

  async #startOther(): Promise<void> {
    const dir = `${this.#dir}/other`;
    const dbPath = `${dir}/data.db`;
    await Deno.mkdir(dir);
    await createDatabase(dbPath, SCHEMA);
    const natsUrl = `nats://127.0.0.1:${this.#ports["4222"]}`;
    const settings = { nats: { reconnect_wait_seconds: 1, connect_retries: 60 } };
    const process = this.#processes.use(startNode({ dir, dbPath, nodeId: 2, natsUrl, settings }));
    await process.waitForLog(AT_WORK, PATIENCE);
    this.#other = { dbPath, process };
  }

  async #settle(): Promise<void> {
    if (this.#service === undefined) return;
    await this.#control("start");
    const paths = [`${this.#dir}/lib/data.db`, this.#other!.dbPath];
    for (const path of paths) {
      const id = ++this.#rows;
      await runSql(path, `INSERT INTO users (id, name) VALUES (${id}, 'row ${id}');`);
    }
    const last = this.#rows;
    await eventually("both have the rows of both", async () => {
      for (const path of paths) {
        const query = `SELECT count(*) FROM users WHERE id IN (${last}, ${last - 1});`;
        assert.equal((await runSql(path, query)).trim(), "2");
      }
      assertSameContent(paths);
      assert.ok(Deno.statSync(`${this.#dir}/lib/seq-map.cbor`).isFile);
    }, PATIENCE).catch((error) => {
      throw new Error(`${error}\n${this.#service!.log.tail(30)}\n${this.#other!.process.log.tail(30)}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes.disposeAsync();
  }
}

Deno.test("who follows the README, command by command, gets what it promises", async (t) => {
  await using dir = await makeTempDir();
  await using reader = await Reader.open(dir.path);
  for (const block of BLOCKS.filter(({ language }) => ["sh", "sql"].includes(language))) {
    const ran = await t.step(`${block.section}: ${block.statements[0]}`, () => reader.follow(block));
    if (!ran) return;
  }
});

Deno.test("the settings in the README are valid", async () => {
  await using dir = await makeTempDir();
  await createDatabase(dir.file("data.db"), SCHEMA);
  const [program, ...before] = CHECKOUT_PROGRAM;
  const texts = BLOCKS.filter(({ language }) => language === "toml").map(({ statements }) => statements[0]!);
  assert.ok(texts.length > 0);
  for (const text of texts) {
    await Deno.writeTextFile(dir.file("config.toml"), text);
    await runProgram(program!, [...before, "check", "--db-path", "data.db"], { cwd: dir.path });
  }
});
