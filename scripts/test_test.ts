import assert from "node:assert/strict";
import { startProcess } from "../tests/support/process.ts";
import { GATE_MARK, killStrays } from "./strays.ts";
import { readSummary } from "./test.ts";

Deno.test("the summary of deno test is read, with steps and ignored tests", () => {
  const lines = [
    "a ... ok (1ms)",
    "",
    "FAILED | 12 passed (3 steps) | 2 failed (1 step) | 4 ignored (5 steps) (6ms)",
    "",
  ];
  assert.deepEqual(readSummary(lines), { passed: 12, failed: 2, skipped: 4 });
  assert.deepEqual(readSummary(["ok | 3 passed | 0 failed (1s)"]), { passed: 3, failed: 0, skipped: 0 });
});

Deno.test("a run that was cut off counts the tests that it finished", () => {
  const lines = [
    "a ... ok (1ms)",
    "  step ... ok (1ms)",
    "b ... FAILED (1ms)",
    "c ... ignored (0ms)",
    "d ...",
  ];
  assert.deepEqual(readSummary(lines), { passed: 1, failed: 1, skipped: 1 });
});

Deno.test({
  name: "a process that is left behind is found by its mark and killed, however detached",
  // Skipped: only Linux shows the environment of a process.
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const mark = crypto.randomUUID();
    await using parent = startProcess({
      name: "parent",
      command: "sh",
      args: ["-c", "setsid sleep 61 & echo started; wait"],
      env: { [GATE_MARK]: mark },
    });
    await parent.waitForLog("started");
    const strays = await killStrays(mark, 300);
    assert.ok(strays?.some(({ command }) => command === "sleep 61"), JSON.stringify(strays));
    assert.equal(await parent.exited, 137);
    assert.deepEqual(await killStrays(mark, 5_000), []);
  },
});
