import assert from "node:assert/strict";
import { parseCommand } from "../../src/cli/parse_command.ts";
import { CONFIG_PATHS } from "../../src/config/load.ts";
import { ENTRIES } from "../../src/config/schema.ts";
import { findProgram } from "../../src/lib/programs.ts";
import { createDatabase } from "../support/database.ts";
import { ROOT } from "../support/node_process.ts";
import { runProgram, startProcess, type TestProcess } from "../support/process.ts";
import { makeTempDir } from "../support/temp.ts";

const FOLDER = `${ROOT}scripts/install`;
const read = (name: string): string => Deno.readTextFileSync(`${FOLDER}/${name}`);
const VARIABLES = new Set(ENTRIES.map(({ variable }) => variable));
/** Of the portable file itself. */
const NO_SETTING = ["HARMONYLITE_CACHE"];

/** The words behind `harmonylite`, with what a shell would put in. */
function wordsOf(line: string): string[] {
  return line.replace(/^.*?harmonylite /, "").replace("$((${HOSTNAME##*-} + 1))", "3").trim().split(/\s+/);
}

/** Names and values of settings as YAML or a Dockerfile gives them. */
function settingsIn(text: string): Map<string, string> {
  const found = text.matchAll(/(HARMONYLITE_\w+)(?:: |=|, value: )"?([^"\s}]*)"?/g);
  return new Map([...found].map(([, name, value]) => [name!, value!]));
}

/** The real program judges its settings, as `env` gives them. */
function check(cwd: string, args: readonly string[], env: Record<string, string>): TestProcess {
  const main = ["run", "-A", "--frozen", `${ROOT}main.ts`];
  return startProcess({
    name: "check",
    command: Deno.execPath(),
    args: [...main, ...args, "-check"],
    cwd,
    env,
  });
}

Deno.test("the systemd unit starts the program as it is documented, and systemd finds nothing wrong with it", async () => {
  const unit = read("harmonylite.service");
  const [start] = /^ExecStart=.*/m.exec(unit)!;
  const command = parseCommand(wordsOf(start));
  assert.ok(command.name === "run" && command.choice.path === CONFIG_PATHS.at(-1), start);
  // SIGTERM goes to the node alone: it needs its server to send what is pending.
  assert.match(unit, /^KillMode=mixed$/m);
  const analyze = findProgram("systemd-analyze");
  if (analyze === undefined) return;
  await using dir = await makeTempDir();
  const copy = dir.file("harmonylite.service");
  await Deno.writeTextFile(copy, unit.replace("/usr/local/bin/harmonylite", Deno.execPath()));
  assert.equal(await runProgram(analyze, ["verify", "--man=no", copy]), "");
});

Deno.test("containers are given settings and command lines that the program knows", async () => {
  const compose = settingsIn(read("compose.yaml"));
  const kubernetes = settingsIn(read("kubernetes.yaml"));
  const image = settingsIn(read("Dockerfile"));
  const names = [...compose.keys(), ...kubernetes.keys(), ...image.keys()];
  assert.ok(names.length > 10);
  assert.deepEqual(names.filter((name) => !VARIABLES.has(name) && !NO_SETTING.includes(name)), []);

  await using dir = await makeTempDir();
  await createDatabase(dir.file("data.db"), "CREATE TABLE users (id TEXT PRIMARY KEY)");
  const [exec] = /exec harmonylite .*/.exec(read("kubernetes.yaml"))!;
  for (
    const [settings, args] of [[compose, []], [
      kubernetes,
      wordsOf(exec).filter((word) => word !== "run"),
    ]] as const
  ) {
    const env = { ...Object.fromEntries(settings), HARMONYLITE_DB_PATH: dir.file("data.db") };
    await using judged = check(dir.path, args, env);
    assert.equal(await judged.exited, 0, judged.log.tail());
    assert.ok(judged.log.has("node_id 3"), judged.log.tail());
  }
  // The paths of the image are those of the volumes.
  assert.equal(image.get("HARMONYLITE_DB_PATH"), compose.get("HARMONYLITE_DB_PATH"));
  assert.match(read("compose.yaml"), /volumes: \["data-1:\/data"\]/);
});
