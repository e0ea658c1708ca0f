import { basename } from "node:path";

/** A file that a process has open. */
export interface OpenFile {
  readonly process: number;
  /** What the process is called. */
  readonly program: string;
  /** Where the file is; one that was removed ends with ` (deleted)`. */
  readonly target: string;
}

/**
 * The files that other processes have open of which `isWanted` says yes, as far as this user may see; undefined where the
 * system does not tell (no `/proc`). Throws NotCapable in a locked program, which may not look there.
 */
export function findOpenFiles(isWanted: (target: string) => boolean): OpenFile[] | undefined {
  const processes = listNumbers("/proc");
  if (processes === undefined) return undefined;
  return processes.filter((process) => process !== Deno.pid).flatMap((process) => {
    const targets = listNumbers(`/proc/${process}/fd`)?.map((number) =>
      linkOf(`/proc/${process}/fd/${number}`)
    );
    const wanted = new Set(targets?.filter((target) => target !== undefined && isWanted(target)));
    return [...wanted].map((target) => ({ process, program: programOf(process), target: target! }));
  });
}

/** `process 12 (python3)`. */
export function describeProcess({ process, program }: OpenFile): string {
  return `process ${process} (${program})`;
}

function programOf(process: number): string {
  try {
    const [command = ""] = Deno.readTextFileSync(`/proc/${process}/cmdline`).split("\0");
    return basename(command) || Deno.readTextFileSync(`/proc/${process}/comm`).trim();
  } catch {
    return "?"; // It has ended meanwhile.
  }
}

function listNumbers(folder: string): number[] | undefined {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => Number(name)).filter(Number.isInteger);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return undefined; // No such folder, or closed to us.
  }
}

function linkOf(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return undefined; // It was closed meanwhile.
  }
}
