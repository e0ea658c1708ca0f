import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { makeTempDir, type TempDir } from "../../tests/support/temp.ts";
import { unpackedServerPath, unpackServer } from "./server_inside.ts";

const SERVER = "#!/bin/sh\necho nats-server: v2.15.2\n";

/** As `deno task compile` lays it into the executable. */
async function layInside(dir: TempDir): Promise<string> {
  const inside = dir.file("inside");
  await Deno.writeTextFile(inside, SERVER, { mode: 0o644 });
  await Deno.writeTextFile(`${inside}.sha256`, createHash("sha256").update(SERVER).digest("hex"));
  await Deno.mkdir(dir.file("folder"));
  return inside;
}

Deno.test("a program that carries no nats-server unpacks none", async () => {
  await using dir = await makeTempDir();
  assert.equal(await unpackServer(dir.path, dir.file("inside")), undefined);
  assert.equal(await unpackServer(dir.path), undefined);
});

Deno.test("the nats-server that the program carries is unpacked once, for this user alone", async () => {
  await using dir = await makeTempDir();
  const [inside, folder] = [await layInside(dir), dir.file("folder")];
  assert.equal(await unpackServer(folder, inside), unpackedServerPath(folder));
  const { ino, mode } = await Deno.stat(unpackedServerPath(folder));
  assert.equal(mode! & 0o777, 0o700);
  await unpackServer(folder, inside);
  assert.equal((await Deno.stat(unpackedServerPath(folder))).ino, ino);
  assert.deepEqual([...Deno.readDirSync(folder)].length, 1);
});

Deno.test("what lies there and is something else is replaced, and what a killed start has left is no obstacle", async () => {
  await using dir = await makeTempDir();
  const [inside, folder] = [await layInside(dir), dir.file("folder")];
  await Deno.writeTextFile(unpackedServerPath(folder), "#!/bin/sh\necho trapped\n", { mode: 0o755 });
  await Deno.writeTextFile(`${unpackedServerPath(folder)}.${Deno.pid}.tmp`, "half");
  await unpackServer(folder, inside);
  assert.equal(await Deno.readTextFile(unpackedServerPath(folder)), SERVER);
});

Deno.test("a damaged nats-server is not unpacked", async () => {
  await using dir = await makeTempDir();
  const [inside, folder] = [await layInside(dir), dir.file("folder")];
  await Deno.writeTextFile(inside, "damaged");
  await assert.rejects(
    unpackServer(folder, inside),
    /Cannot unpack nats-server .* not what the program was built with/,
  );
  assert.deepEqual([...Deno.readDirSync(folder)], []);
});
