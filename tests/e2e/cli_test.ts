import assert from "node:assert/strict";
import { ROOT } from "../support/node_process.ts";
import { makeTempDir } from "../support/temp.ts";

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program as a user does from a checkout, in another folder, with nothing of ours in the environment. */
async function harmonylite(cwd: string, args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--frozen", "--quiet", `${ROOT}main.ts`, ...args],
    cwd,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...env },
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("from an empty folder: init, check, and the errors on the way", async () => {
  await using dir = await makeTempDir();
  const missing = await harmonylite(dir.path, ["check"]);
  assert.equal(missing.code, 1);
  assert.match(
    missing.stderr,
    /Cannot find a configuration: there is no config\.toml and no \/etc\/harmonylite\/config\.toml/,
  );

  assert.equal((await harmonylite(dir.path, ["init", "--db-path", "app.db"])).code, 0);
  const noDatabase = await harmonylite(dir.path, ["-check"]);
  assert.equal(noDatabase.code, 1);
  assert.match(noDatabase.stderr, /config\.toml:\d+: db_path cannot be used: there is no ".*app\.db"/);

  await Deno.writeFile(dir.file("app.db"), new Uint8Array());
  for (
    const args of [["check"], ["-config", "config.toml", "-check"], ["-check", "--config=./config.toml"]]
  ) {
    const { code, stdout, stderr } = await harmonylite(dir.path, args);
    assert.deepEqual([code, stderr], [0, ""], args.join(" "));
    assert.match(stdout, /^Configuration is valid: /);
  }
});

Deno.test("a node id in the environment beats the file and is beaten by the option", async () => {
  await using dir = await makeTempDir();
  await Deno.writeFile(dir.file("app.db"), new Uint8Array());
  await harmonylite(dir.path, ["init", "--db-path", "app.db", "--node-id", "1"]);
  const env = { HARMONYLITE_NODE_ID: "2" };
  assert.match((await harmonylite(dir.path, ["check"], env)).stdout, /node_id 2\n/);
  assert.match((await harmonylite(dir.path, ["check", "-node-id", "3"], env)).stdout, /node_id 3\n/);
});

Deno.test("version is written to standard output, with exit code 0", async () => {
  await using dir = await makeTempDir();
  const { code, stdout, stderr } = await harmonylite(dir.path, ["-version"]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^harmonylite \S+ \(deno \S+, sqlite \S+\)\n$/);
});

Deno.test("exit codes tell a wrong command line from a wrong configuration", async () => {
  await using dir = await makeTempDir();
  await Deno.writeTextFile(dir.file("config.toml"), "db_path = 'a.db'\nnode_id = 'one'\n");
  assert.equal((await harmonylite(dir.path, ["chek"])).code, 2);
  assert.equal((await harmonylite(dir.path, ["-check", "-nodeid", "3"])).code, 2);
  const { code, stderr } = await harmonylite(dir.path, []);
  assert.equal(code, 1);
  assert.match(stderr, /Invalid configuration.*\n.*config\.toml:2: node_id must be/);
});
