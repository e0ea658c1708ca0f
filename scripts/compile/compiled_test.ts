import assert from "node:assert/strict";
import { ROOT } from "../../tests/support/node_process.ts";
import { startProcess } from "../../tests/support/process.ts";
import { makeTempDir } from "../../tests/support/temp.ts";

/**
 * `deno compile` lays the program and its permissions behind a copy of the runtime base. Any program can stand for that base as
 * long as nothing is run: here Deno itself, as the real one is not on every machine.
 */
Deno.test("the compiled executable is locked to its configuration, and carries nats-server", async () => {
  await using dir = await makeTempDir();
  await Deno.writeTextFile(
    dir.file("config.toml"),
    `node_id = 1\ndb_path = "/data/app.db"\n[nats]\nbind_address = "127.0.0.1:4222"\n`,
  );
  await using build = startProcess({
    name: "compile",
    command: Deno.execPath(),
    args: [
      ...["run", "-A", "--frozen", "scripts/compile.ts"],
      ...["--config", dir.file("config.toml"), "--output", dir.file("harmonylite")],
    ],
    cwd: ROOT,
    env: { DENORT_BIN: Deno.execPath() },
  });
  assert.equal(await build.exited, 0, build.log.tail());
  assert.match(build.output.lines.at(-1)!, /^Wrote .*harmonylite: \d+ MB, for /);
  const { permissions, v8_flags: v8Flags } = await metadataOf(dir.file("harmonylite"));
  const allowed = Object.entries(permissions).filter(([name, values]) =>
    /^allow_/.test(name) && values !== null
  );
  assert.deepEqual(Object.fromEntries(allowed), {
    allow_read: [dir.file("config.toml"), "/etc/harmonylite/config.toml", "/data"],
    allow_write: ["/data"],
    allow_net: ["127.0.0.1:4222"],
    allow_env: ["HARMONYLITE_*", "NATS_SERVER"],
    allow_sys: ["hostname", "uid", "gid"],
    allow_run: ["/data/app.db-harmonylite.nats/nats-server"],
    // Modules from these hosts; what is not inside is not loaded by a compiled program.
    allow_import: permissions["allow_import"],
  });
  assert.deepEqual([permissions["prompt"], permissions["ignore_env"]], [false, []]);
  for (const flag of ["--max-semi-space-size=4", "--heap-growing-percent=25"]) {
    assert.ok(v8Flags.includes(flag));
  }
});

/** How the runtime base is told what to do: JSON behind its own bytes. */
async function metadataOf(
  path: string,
): Promise<{ permissions: Record<string, unknown>; v8_flags: string[] }> {
  const text = new TextDecoder("latin1").decode(await Deno.readFile(path));
  const start = text.lastIndexOf('{"argv":[');
  const end = /"app_name":"[^"]*"\}/.exec(text.slice(start))!;
  return JSON.parse(text.slice(start, start + end.index + end[0].length));
}
