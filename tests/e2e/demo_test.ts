import assert from "node:assert/strict";
import { GATE_MARK, killStrays } from "../../scripts/strays.ts";
import { natsServerBinary } from "../support/nats_server.ts";
import { ROOT } from "../support/node_process.ts";
import { startProcess, type TestProcess } from "../support/process.ts";
import { makeTempDir, type TempDir } from "../support/temp.ts";

/** How long processes of the demo may take to be gone after it. */
const STRAY_GRACE_MS = 2_000;

/** `deno task demo` with its temporary files in a folder of their own and its processes marked, so that both can be looked for. */
async function startDemo(temp: TempDir, mark: string, args: readonly string[]): Promise<TestProcess> {
  return startProcess({
    name: "demo",
    command: Deno.execPath(),
    args: ["task", "demo", ...args],
    cwd: ROOT,
    env: { TMPDIR: temp.path, NATS_SERVER: await natsServerBinary(), [GATE_MARK]: mark },
  });
}

async function assertNothingLeft(temp: TempDir, mark: string): Promise<void> {
  assert.deepEqual(await Array.fromAsync(Deno.readDir(temp.path), ({ name }) => name), []);
  assert.deepEqual(await killStrays(mark, STRAY_GRACE_MS) ?? [], []);
}

Deno.test("the demo, run once, loses nothing when it kills a node, and leaves nothing behind", async () => {
  await using temp = await makeTempDir();
  const mark = crypto.randomUUID();
  await using demo = await startDemo(temp, mark, ["--once", "--seconds", "3", "--rate", "50"]);
  const code = await demo.exited;
  assert.equal(code, 0, demo.log.tail());
  assert.match(demo.output.lines.join("\n"), /node 2 \(process \d+\) got SIGKILL[^]*node 2 is back/);
  const last = demo.output.lines.findLast((line) => line.trim() !== "");
  assert.match(
    last ?? "",
    /All three databases are equal: [\d,]+ rows in 4 tables, compared row by row, types included\.$/,
  );
  await assertNothingLeft(temp, mark);
});

Deno.test("the demo, when it is asked to end, compares and leaves nothing behind", async () => {
  await using temp = await makeTempDir();
  const mark = crypto.randomUUID();
  await using demo = await startDemo(temp, mark, ["--rate", "50"]);
  await demo.waitForLog("00:01  rows", { timeoutMs: 60_000 });
  assert.equal(await demo.stop(), 0, demo.log.tail());
  assert.match(demo.log.tail(), /All three databases are equal/);
  await assertNothingLeft(temp, mark);
});

Deno.test("the demo tells its options, and which one it does not know", async () => {
  await using temp = await makeTempDir();
  await using help = await startDemo(temp, "", ["--help"]);
  assert.equal(await help.exited, 0);
  assert.match(help.output.tail(), /usage: deno task demo/);
  await using wrong = await startDemo(temp, "", ["--seconds", "soon"]);
  assert.equal(await wrong.exited, 1);
  assert.match(wrong.log.tail(), /Cannot use --seconds "soon"/);
});
