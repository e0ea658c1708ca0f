import { makeTempDir, type TempDir } from "../support/temp.ts";

/** Databases of a simulation need not survive anything, so they lie in memory where the system has a place for that. */
const IN_MEMORY = "/dev/shm";

export async function makeSimDir(): Promise<TempDir> {
  return await makeTempDir(await isFolder(IN_MEMORY) ? IN_MEMORY : undefined);
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch {
    return false; // Another system.
  }
}
