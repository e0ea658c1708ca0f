import assert from "node:assert/strict";
import { makeTempDir } from "../../tests/support/temp.ts";
import { main } from "./cli.ts";

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function call(...args: string[]): Promise<Outcome> {
  const texts = { stdout: "", stderr: "" };
  const code = await main(args, {
    stdout: { write: (text) => void (texts.stdout += text) },
    stderr: { write: (text) => void (texts.stderr += text) },
    signal: new AbortController().signal,
  });
  return { code, ...texts };
}

const SQLITE_HEADER = "SQLite format 3\0";

Deno.test("version goes to standard output and needs no configuration", async () => {
  const { code, stdout, stderr } = await call("-version");
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^harmonylite \d+\.\d+\.\d+ \(deno [\d.]+, sqlite 3\.[\d.]+\)\n$/);
});

Deno.test("help names every command with its options, and the exit codes", async () => {
  const { code, stdout } = await call("help");
  assert.equal(code, 0);
  for (
    const word of [
      "run",
      "check",
      "cleanup",
      "init [FILE]",
      "version",
      "--config FILE",
      "--discard-pending",
      "Exit codes",
    ]
  ) {
    assert.ok(stdout.includes(word), word);
  }
  assert.ok((await call("help", "cleanup")).stdout.includes("--all"));
  assert.ok(!(await call("help", "cleanup")).stdout.includes("--force"));
});

Deno.test("a usage error has exit code 2, goes to standard error, and says where help is", async () => {
  const { code, stdout, stderr } = await call("chek");
  assert.deepEqual([code, stdout], [2, ""]);
  assert.match(
    stderr,
    /^harmonylite: Cannot understand "chek".*did you mean "check"\?\n {2}`harmonylite help`/,
  );
});

Deno.test("init writes a file that only its owner reads, and check finds it valid", async () => {
  await using dir = await makeTempDir();
  await Deno.writeTextFile(dir.file("app.db"), SQLITE_HEADER);
  const path = dir.file("config.toml");
  const written = await call("init", path, "--db-path", dir.file("app.db"), "--node-id", "42");
  assert.deepEqual([written.code, written.stderr], [0, ""]);
  assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
  const { code, stdout } = await call("check", "--config", path);
  assert.equal(code, 0);
  assert.match(stdout, /^Configuration is valid: .*config\.toml\n {2}node_id 42\n/);
});

Deno.test("init never writes over a file, unless forced", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("config.toml");
  await Deno.writeTextFile(path, "mine", { mode: 0o644 });
  const refused = await call("init", path);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /there is such a file already\n.*--force/);
  assert.equal(await Deno.readTextFile(path), "mine");
  assert.equal((await call("init", path, "--force")).code, 0);
  assert.match(await Deno.readTextFile(path), /^# HarmonyLite/);
  assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
});

Deno.test("init refuses a value that check would refuse", async () => {
  await using dir = await makeTempDir();
  const { code, stderr } = await call("init", dir.file("c.toml"), "--node-id", "-1".replace("-", "x"));
  assert.equal(code, 1);
  assert.match(stderr, /--node-id: node_id must be a whole number/);
  await assert.rejects(Deno.stat(dir.file("c.toml")), Deno.errors.NotFound);
});

Deno.test("check tells all that is wrong with the words that the guide names, and exits with 1", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("c.toml");
  await Deno.writeTextFile(path, "[replication_log]\nshards = 0\nshardz = 1\n");
  const { code, stdout, stderr } = await call("-config", path, "-check");
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(stderr, /Invalid configuration, 3 problems:/);
  assert.match(stderr, /c\.toml:2: replication_log\.shards must be/);
  assert.match(stderr, /c\.toml:3: .*did you mean "shards"\?/);
});

Deno.test("check names the line of a path that is missing, or leads to something else", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("c.toml");
  await Deno.writeTextFile(dir.file("text.db"), "no database, this is text");
  await Deno.writeTextFile(
    path,
    `node_id = 1\ndb_path = "${dir.file("text.db")}"\n[nats]\nca_file = "/nowhere/ca.pem"\n`,
  );
  const { code, stderr } = await call("check", "--config", path);
  assert.equal(code, 1);
  assert.match(stderr, /c\.toml:2: db_path cannot be used: .*is not a SQLite database, or an encrypted one/);
  assert.match(stderr, /c\.toml:4: nats\.ca_file cannot be used: there is no "\/nowhere\/ca\.pem"/);
});

Deno.test("check notes what may come as a surprise", async () => {
  await using dir = await makeTempDir();
  await Deno.writeTextFile(dir.file("app.db"), SQLITE_HEADER);
  await Deno.writeTextFile(
    dir.file("c.toml"),
    `db_path = "${dir.file("app.db")}"\n`,
  );
  const { code, stdout } = await call("check", "--config", dir.file("c.toml"));
  assert.equal(code, 0);
  assert.match(stdout, /node_id \d+, derived from the (machine id|host name) and the path of the database/);
  assert.ok(stdout.includes("nats.urls is empty"));
});

Deno.test("init sets a server of its own where tools look for one, unless the node is to use others", async () => {
  await using dir = await makeTempDir();
  const written = async (...args: string[]): Promise<string> => {
    await call("init", dir.file("c.toml"), "--force", ...args);
    return await Deno.readTextFile(dir.file("c.toml"));
  };
  assert.match(await written(), /^bind_address = "127\.0\.0\.1:4222"$/m);
  assert.match(await written(), /^monitor_address = "127\.0\.0\.1:8222"$/m);
  const others = await written("--nats-urls", "nats://a:4222,nats://b:4222");
  assert.match(others, /^urls = \["nats:\/\/a:4222","nats:\/\/b:4222"\]$/m);
  assert.match(others, /^#bind_address = /m);
  assert.match(others, /^#monitor_address = /m);
});
