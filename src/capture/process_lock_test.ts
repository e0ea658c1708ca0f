import assert from "node:assert/strict";
import { startProcess } from "../../tests/support/process.ts";
import { eventually } from "../../tests/support/eventually.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { lockHolder, lockPath, ProcessLock, requireUser } from "./process_lock.ts";

const HOLDER = `
  import { ProcessLock } from "${new URL("./process_lock.ts", import.meta.url)}";
  const lock = ProcessLock.acquire(Deno.args[0]);
  console.log("has it");
  setTimeout(() => lock[Symbol.dispose](), 60_000);`;

/** As {@link lockHolder} does, but slowly. */
const LOOKER = `
  const file = Deno.openSync(Deno.args[0], { read: true });
  if (!file.tryLockSync(false)) throw new Error("it is held");
  console.log("shares it");
  setTimeout(() => file.close(), 300);`;

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
  assert.ok(lockHolder(path)!.process! > 0);
  holder.kill("SIGKILL");
  await holder.exited;
  await eventually("the lock is free", () => ProcessLock.acquire(path)[Symbol.dispose]());
  await Deno.writeTextFile(lockPath(path), `${Deno.pid} left-by-one-that-was-killed\n`);
  assert.equal(lockHolder(path), undefined, "what a dead holder left says nothing");
});

Deno.test("the lock can be had again after it was given back, and then nobody holds it", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  assert.equal(lockHolder(path), undefined);
  {
    using lock = ProcessLock.acquire(path);
    assert.deepEqual(lockHolder(path), lock.holder);
    assert.equal(lockHolder(path)?.process, Deno.pid);
    assert.throws(() => ProcessLock.acquire(path), inUse);
  }
  assert.equal(lockHolder(path), undefined);
  ProcessLock.acquire(path)[Symbol.dispose]();
});

Deno.test("a node gets its lock while another command looks whether it is held", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  const program = folder.file("looker.ts");
  await Deno.writeTextFile(program, LOOKER);
  ProcessLock.acquire(path)[Symbol.dispose]();
  const lines: string[] = [];
  await using looker = startProcess({
    name: "looker",
    command: Deno.execPath(),
    args: ["run", "-A", "--no-check", program, lockPath(path)],
    onLine: (line) => lines.push(line),
  });
  await eventually("it looks", () => lines.includes("shares it"));
  ProcessLock.acquire(path)[Symbol.dispose]();
  await looker.exited;
});

Deno.test("root does not work on the database of a node that runs as another user, which could not start afterwards", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  ProcessLock.acquire(path)[Symbol.dispose]();
  requireUser(path);
  if (Deno.uid() !== 0) return; // Nobody else can make a file of another user's.
  Deno.chownSync(lockPath(path), 7001, 7001);
  const wrong = /as root: its node runs as user 7001/;
  assert.throws(() => requireUser(path), wrong);
  assert.throws(() => ProcessLock.acquire(path), wrong);
  assert.equal(lockHolder(path), undefined, "it is free again");
  ProcessLock.acquire(path, { passing: true })[Symbol.dispose]();
  assert.equal(Deno.statSync(lockPath(path)).uid, 7001);
});

Deno.test("a lock that root has had for a moment, as for a snapshot, is open to the user of the folder", async () => {
  await using folder = await makeTempDir();
  const user = Deno.uid() === 0 ? 7001 : Deno.uid()!;
  Deno.chownSync(folder.path, user, null);
  ProcessLock.acquire(folder.file("app.db"), { passing: true })[Symbol.dispose]();
  assert.equal(Deno.statSync(lockPath(folder.file("app.db"))).uid, user);
});
