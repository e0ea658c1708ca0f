import assert from "node:assert/strict";
import { parseSftpUrl } from "./sftp_address.ts";

Deno.test("an SFTP URL gives host, port, user, password and folder", () => {
  assert.deepEqual(parseSftpUrl("sftp://me:p%40ss%3Aw%2Frd@backup.example:2222//var/snap%20shots/"), {
    host: "backup.example",
    port: 2222,
    user: "me",
    password: "p@ss:w/rd",
    folder: "/var/snap shots",
  });
  const { host, port, folder } = parseSftpUrl("sftp://me@[::1]");
  assert.deepEqual([host, port, folder], ["::1", 22, "/"]);
});

Deno.test("a folder behind ~ lies in the user's home", () => {
  assert.equal(parseSftpUrl("sftp://me@host/~/snapshots").folder, "snapshots");
  assert.equal(parseSftpUrl("sftp://me@host/~").folder, ".");
  assert.equal(parseSftpUrl("sftp://me@host/~other").folder, "/~other");
});
