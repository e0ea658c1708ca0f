import assert from "node:assert/strict";
import { eventually } from "../../tests/support/eventually.ts";
import { startProcess } from "../../tests/support/process.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { lockPath, ProcessLock } from "../capture/process_lock.ts";
import { followStopRequests, stopNode, stopRequestPath } from "./stop_request.ts";

const signal = new AbortController().signal;

/** The lock of a database, held by something that writes there what it likes. */
async function holdLock(path: string, text: string): Promise<Deno.FsFile> {
  await Deno.writeTextFile(lockPath(path), text);
  const file = await Deno.open(lockPath(path), { read: true, write: true });
  assert.ok(file.tryLockSync(true));
  return file;
}

function requestOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(stopRequestPath(path)).trim();
  } catch (error) {
    assert.ok(error instanceof Deno.errors.NotFound, String(error));
    return undefined;
  }
}

Deno.test("a node that has crashed is not taken for a process that has its id now, which goes on", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  assert.equal(await stopNode(path, { signal }), undefined, "nothing was ever started");
  await using stranger = startProcess({ name: "stranger", command: "sleep", args: ["60"] });
  await Deno.writeTextFile(lockPath(path), `${stranger.pid} its-instance\n`);
  assert.equal(await stopNode(path, { signal }), undefined);
  assert.equal(requestOf(path), undefined);
  assert.ok(stranger.running);
});

Deno.test("the holder of the lock is asked, once, and has stopped when that returns", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  await Deno.writeTextFile(stopRequestPath(path), "an-instance-of-before\n");
  const lock = ProcessLock.acquire(path);
  const told: unknown[] = [];
  const following = followStopRequests(path, {
    holder: lock.holder,
    onRequest: () => lock[Symbol.dispose](),
    signal,
  });
  assert.deepEqual(await stopNode(path, { signal, onAsk: (holder) => told.push(holder) }), {
    process: Deno.pid,
  });
  await following;
  assert.deepEqual(told, [lock.holder]);
  assert.equal(requestOf(path), undefined);
});

Deno.test("a holder that has not yet written who it is, is asked when it has", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  using file = await holdLock(path, "1 left-by-one-that-was-killed\n");
  const stopping = stopNode(path, { signal });
  await eventually("the one before was asked", () => requestOf(path) === "left-by-one-that-was-killed");
  await Deno.writeTextFile(lockPath(path), "77 at-last\n");
  await eventually("the holder is asked", () => requestOf(path) === "at-last");
  await Deno.remove(stopRequestPath(path));
  file.unlockSync();
  assert.deepEqual(await stopping, { process: 77 });
});

Deno.test("a node that is started right after the one that stopped is left alone", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  using _file = await holdLock(path, "77 first\n");
  const stopping = stopNode(path, { signal });
  await eventually("the first is asked", () => requestOf(path) === "first");
  await Deno.remove(stopRequestPath(path)); // It obeys.
  await Deno.writeTextFile(lockPath(path), "78 second\n");
  assert.deepEqual(await stopping, { process: 77 });
  assert.equal(requestOf(path), undefined);
});

Deno.test("a node that does not stop is named after the deadline, and its request is taken back", async () => {
  await using folder = await makeTempDir();
  const path = folder.file("app.db");
  using _file = await holdLock(path, "77 deaf\n");
  await assert.rejects(stopNode(path, { signal, timeoutMs: 100 }), {
    code: "STOP_TIMEOUT",
    message: `Cannot stop process 77 on "${path}": it has not ended within 0.1 s`,
  });
  assert.equal(requestOf(path), undefined);
});
