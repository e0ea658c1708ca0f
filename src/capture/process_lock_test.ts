import assert from "node:assert/strict";
import { startProcess } from "../../tests/support/process.ts";
import { eventually } from "../../tests/support/eventually.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { lockHolder, ProcessLock } from "./process_lock.ts";

const HOLDER = `
  import { ProcessLock } from "${new URL("./process_lock.ts", import.meta.url)}";
  const lock = ProcessLock.acquire(Deno.args[0]);
  console.log("has it");
  setTimeout(() => lock[Symbol.dispose](), 60_000);`;

const inUse = { code: "DATABASE_IN_USE" };

Deno.test("the lock of a database is had by one process, and freed when it is killed", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  const program = folder.file("holder.ts");
  await Deno.writeTextFile(program, HOLDER);
  const lines: string[] = [];
  await using holder = startProcess({
    name: "holder",
    command: Deno.execPath(),
    args: ["run", "-A", "--no-check", program, path],
    onLine: (line) => lines.push(line),
  });
  await eventually("the other process has the lock", () => lines.includes("has it"));
  assert.throws(() => ProcessLock.acquire(path), inUse);
  assert.ok(lockHolder(path)! > 0);
  assert.equal(ProcessLock.isHeld(path), true);
  holder.kill("SIGKILL");
  await holder.exited;
  await eventually("the lock is free", () => assert.equal(ProcessLock.isHeld(path), false));
  ProcessLock.acquire(path)[Symbol.dispose]();
});

Deno.test("the lock can be had again after it was given back, and then nobody holds it", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  assert.equal(lockHolder(path), undefined);
  assert.equal(ProcessLock.isHeld(path), false);
  {
    using _lock = ProcessLock.acquire(path);
    assert.equal(lockHolder(path), Deno.pid);
    assert.throws(() => ProcessLock.acquire(path), inUse);
  }
  assert.equal(lockHolder(path), undefined);
  ProcessLock.acquire(path)[Symbol.dispose]();
});
