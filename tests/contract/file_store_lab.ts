import { FileStore } from "../../src/snapshot/file_store.ts";
import type { SnapshotStore } from "../../src/snapshot/store.ts";
import { mountSmallDisk } from "../support/small_disk.ts";
import { makeTempDir } from "../support/temp.ts";
import { type OpenOptions, SMALL_BYTES, type StoreLab, strangers } from "./snapshot_store_lab.ts";

/** A folder, and no server. */
export async function startFileLab(): Promise<StoreLab> {
  await using starting = new AsyncDisposableStack();
  const temp = starting.use(await makeTempDir());
  const stack = starting.move();
  return {
    adapter: "FileStore, a folder",
    port: undefined,
    secrets: [],
    open: async (folder: string, { limits }: OpenOptions = {}): Promise<SnapshotStore> => {
      await Deno.mkdir(temp.file(folder), { recursive: true });
      return new FileStore({ path: temp.file(folder) }, limits);
    },
    leftovers: (folder, objects) => Promise.resolve(strangers(namesIn(temp.file(folder)), objects)),
    damage: (folder, name) => Deno.truncate(temp.file(`${folder}/${name}`), 1_000_000),
    openSmall: async () => {
      const disk = await mountSmallDisk(SMALL_BYTES);
      if (disk === undefined) return undefined;
      stack.use(disk);
      return new FileStore({ path: disk.path });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** All that is in a folder; nothing when it is not there. */
export function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
