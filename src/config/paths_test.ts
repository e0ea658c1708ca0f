import assert from "node:assert/strict";
import { makeTempDir } from "../../tests/support/temp.ts";
import { parseConfig } from "./parse.ts";
import { findPathProblems, judgeDatabase } from "./paths.ts";

Deno.test("files that are named must be there, and folders to write to", async () => {
  await using dir = await makeTempDir();
  await Deno.writeTextFile(dir.file("ca.pem"), "x");
  const problems = await findPathProblems(parseConfig(`db_path = "${dir.file("d.db")}"
seq_map_path = "${dir.file("none/seq-map.cbor")}"
[nats]
urls = ["nats://x"]
ca_file = "${dir.file("ca.pem")}"
creds_file = "${dir.file("user.creds")}"
server_config = "/not/used"
[snapshot.sftp]
key_file = "/not/used"
`));
  assert.deepEqual(problems, [
    { key: "seq_map_path", text: `there is no "${dir.file("none")}"` },
    { key: "nats.creds_file", text: `there is no "${dir.file("user.creds")}"` },
  ]);
});

Deno.test("a database is judged by its first bytes", async () => {
  await using dir = await makeTempDir();
  const judge = async (bytes: Uint8Array): Promise<string | undefined> => {
    await Deno.writeFile(dir.file("d.db"), bytes);
    return await judgeDatabase(dir.file("d.db"));
  };
  assert.equal(await judge(new TextEncoder().encode("SQLite format 3\0and more")), undefined);
  assert.equal(await judge(new Uint8Array()), undefined);
  assert.match(
    await judge(crypto.getRandomValues(new Uint8Array(4096))) ?? "",
    /is not a SQLite database, or an encrypted one/,
  );
  assert.match(await judge(new TextEncoder().encode("SQLite")) ?? "", /is not a SQLite database/);
  assert.match(await judgeDatabase(dir.file("none.db")) ?? "", /^there is no /);
  assert.match(await judgeDatabase(dir.path) ?? "", /is not a file$/);
});
