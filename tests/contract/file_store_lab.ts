import { mountSmallDisk } from "../support/small_disk.ts";
import { makeTempDir } from "../support/temp.ts";
import { namesIn, SMALL_BYTES, type StoreLab, strangers } from "./snapshot_store_lab.ts";

/** A folder, and no server. */
export async function startFileLab(): Promise<StoreLab> {
  await using starting = new AsyncDisposableStack();
  const temp = starting.use(await makeTempDir());
  const stack = starting.move();
  const tomlOf = (path: string): string => `[snapshot]\nstore = "file"\n[snapshot.file]\npath = "${path}"\n`;
  return {
    adapter: "FileStore, a folder",
    port: undefined,
    secrets: [],
    toml: (folder) => {
      Deno.mkdirSync(temp.file(folder), { recursive: true });
      return tomlOf(temp.file(folder));
    },
    leftovers: (folder, objects) => Promise.resolve(strangers(namesIn(temp.file(folder)), objects)),
    damage: (folder, name) => Deno.truncate(temp.file(`${folder}/${name}`), 1_000_000),
    fullCodes: ["STORE_FULL"],
    startSmall: async () => {
      const disk = await mountSmallDisk(SMALL_BYTES);
      return disk === undefined ? undefined : tomlOf(stack.use(disk).path);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
