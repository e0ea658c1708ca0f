import assert from "node:assert/strict";
import { currentUser, EXECUTE, mayUse, READ, WRITE } from "./file_access.ts";

/** Of a file of user 10 and group 20. */
function rights(mode: number, uid: number, ...gids: number[]): string {
  const may = (wanted: number): boolean =>
    mayUse({ uid: 10, gid: 20, mode: 0o100000 | mode }, wanted, { uid, gids });
  return `${may(READ) ? "r" : "-"}${may(WRITE) ? "w" : "-"}${may(EXECUTE) ? "x" : "-"}`;
}

Deno.test("a file is open to its owner, the members of its group and others by the bits of each", () => {
  assert.equal(rights(0o641, 10, 1), "rw-");
  assert.equal(rights(0o641, 11, 20), "r--");
  assert.equal(rights(0o641, 11, 1), "--x");
  assert.equal(rights(0o047, 10, 20), "---", "the owner's bits count for the owner, whatever others may");
  assert.equal(mayUse({ uid: 10, gid: 20, mode: 0o600 }, READ | WRITE, { uid: 10, gids: [] }), true);
  assert.equal(mayUse({ uid: 10, gid: 20, mode: 0o400 }, READ | WRITE, { uid: 10, gids: [] }), false);
});

Deno.test("a service in the application's group, or an application in the service's, may work with the database", () => {
  assert.equal(rights(0o660, 7001, 7001, 20), "rw-");
});

Deno.test("root may use the files of the service's user", () => {
  assert.equal(rights(0o600, 0, 0), "rwx");
});

Deno.test("this process is somebody, where there are users", () => {
  assert.equal(currentUser()?.uid ?? null, Deno.uid());
  assert.ok(Deno.build.os === "windows" || currentUser()!.gids.includes(Deno.gid()!));
});
