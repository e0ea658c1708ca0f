import { runProgram } from "./process.ts";
import { makeTempDir } from "./temp.ts";

export interface SmallDisk extends AsyncDisposable {
  readonly path: string;
}

/**
 * An empty file system in memory with room for so many bytes. Undefined where mounting is not permitted; that is printed,
 * as whoever reads the test's result must know.
 */
export async function mountSmallDisk(bytes: number): Promise<SmallDisk | undefined> {
  const temp = await makeTempDir();
  const run = async (...command: string[]): Promise<void> => {
    const [program = "", ...args] = Deno.uid() === 0 ? command : ["sudo", "-n", ...command];
    await runProgram(program, args);
  };
  try {
    await run("mount", "-t", "tmpfs", "-o", `size=${bytes},uid=${Deno.uid()}`, "harmonylite-test", temp.path);
  } catch (error) {
    await temp[Symbol.asyncDispose]();
    console.log(`no small disk here: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
  return {
    path: temp.path,
    [Symbol.asyncDispose]: async () => {
      await run("umount", "--lazy", temp.path);
      await temp[Symbol.asyncDispose]();
    },
  };
}
