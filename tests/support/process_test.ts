import assert from "node:assert/strict";
import { eventually } from "./eventually.ts";
import { startProcess } from "./process.ts";

function isAlive(pid: number): boolean {
  try {
    Deno.kill(pid, "SIGCONT");
    return true;
  } catch {
    return false; // No such process.
  }
}

Deno.test("a process hands over its exit code and its output", async () => {
  await using child = startProcess({
    name: "echo",
    command: "sh",
    args: ["-c", "echo out; echo err >&2; printf tail; exit 7"],
  });
  assert.equal(await child.exited, 7);
  assert.deepEqual(child.output.lines, ["out", "tail"]);
  assert.deepEqual([...child.log.lines].sort(), ["err", "out", "tail"]);
});

Deno.test("disposing kills the whole process group", async () => {
  let grandchild = 0;
  {
    await using child = startProcess({
      name: "family",
      command: "sh",
      args: ["-c", "sleep 60 & echo $!; wait"],
    });
    grandchild = Number(await child.waitForLog(/^\d+$/));
    assert.ok(isAlive(grandchild));
  }
  await eventually("the grandchild is gone", () => !isAlive(grandchild));
});

Deno.test("waiting for a log line ends when the process does, and shows its last words", async () => {
  await using child = startProcess({ name: "short", command: "sh", args: ["-c", "echo last words"] });
  await assert.rejects(child.waitForLog("never"), /the process has ended[\s\S]*last words/);
});

Deno.test("a process that ignores SIGTERM is killed, and stop says so", async () => {
  await using child = startProcess({
    name: "stubborn",
    command: "sh",
    args: ["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"],
  });
  await child.waitForLog("ready");
  await assert.rejects(child.stop({ timeoutMs: 200 }), /Cannot stop stubborn: alive 200 ms after SIGTERM/);
  assert.equal(child.running, false);
});

const MODULE = new URL("./process.ts", import.meta.url).href;
const PARENT = `const { startProcess } = await import(${JSON.stringify(MODULE)});
console.log(startProcess({ name: "child", command: "sleep", args: ["60"] }).pid);`;

for (const way of ["the parent-death signal", "the watchdog"]) {
  Deno.test(`a process dies with a test process that is killed, by ${way}`, async () => {
    const program = way === "the watchdog"
      ? `Deno.env.set("HARMONYLITE_TEST_WATCHDOG", "1");${PARENT}`
      : PARENT;
    await using parent = startProcess({
      name: "parent",
      command: Deno.execPath(),
      args: ["eval", program],
      cwd: new URL("../..", import.meta.url).pathname,
    });
    const pid = Number(await parent.waitForLog(/^\d+$/));
    assert.ok(isAlive(pid));
    await parent.kill("SIGKILL");
    await eventually("the child is gone", () => !isAlive(pid));
  });
}
