import { runProgram } from "../support/process.ts";
import { mountSmallDisk } from "../support/small_disk.ts";
import { findRclone } from "../support/server_programs.ts";
import { type LoopbackServer, startLoopbackServer } from "../support/loopback_server.ts";
import { makeTempDir } from "../support/temp.ts";
import { namesIn, SMALL_BYTES, type StoreLab, strangers } from "./snapshot_store_lab.ts";

const LOGIN = "keeper";
/** With what has a meaning in URLs. */
const SECRET = "dav&p@ss:w0rd%/#";

/** It would have read a damaged object before the damage. */
const READ_AHEAD = ["--buffer-size", "0"];

async function startRclone(dir: string): Promise<LoopbackServer> {
  return await startLoopbackServer({
    name: "rclone",
    command: await findRclone(),
    args: (
      port,
    ) => [
      "serve",
      "webdav",
      dir,
      "--addr",
      `127.0.0.1:${port}`,
      "--user",
      LOGIN,
      "--pass",
      SECRET,
      ...READ_AHEAD,
    ],
    env: { RCLONE_CONFIG: `${dir}/../rclone.conf` },
  });
}

function tomlOf(port: number, folder: string, secret = SECRET): string {
  const query = `dir=/clusters/${folder}&login=${LOGIN}&secret=${encodeURIComponent(secret)}`;
  return `
    [snapshot]
    store = "webdav"
    [snapshot.webdav]
    url = "http://127.0.0.1:${port}/?${query}"`;
}

/** rclone's WebDAV server. */
export async function startWebdavLab(): Promise<StoreLab> {
  await using starting = new AsyncDisposableStack();
  const temp = starting.use(await makeTempDir());
  await Deno.mkdir(temp.file("data"));
  const { port } = starting.use(await startRclone(temp.file("data")));
  const stack = starting.move();
  const version = (await runProgram(await findRclone(), ["--version"])).split("\n")[0];
  return {
    adapter: `WebdavStore, ${version}`,
    port,
    secrets: [SECRET, encodeURIComponent(SECRET)],
    toml: (folder, access = {}) =>
      tomlOf(access.port ?? port, folder, access.wrongSecret ? "wr0ngsecret" : undefined),
    leftovers: (folder, objects) =>
      Promise.resolve(strangers(namesIn(temp.file(`data/clusters/${folder}`)), objects)),
    damage: (folder, name) => Deno.truncate(temp.file(`data/clusters/${folder}/${name}`), 1_000_000),
    // Go's WebDAV server answers any failure to write with one status, and hangs up, which may overtake the answer.
    fullCodes: ["UPLOAD_REFUSED", "CONNECTION_LOST"],
    startSmall: async () => {
      const disk = await mountSmallDisk(SMALL_BYTES);
      return disk === undefined
        ? undefined
        : tomlOf(stack.use(await startRclone(stack.use(disk).path)).port, "small");
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
