/** Finds processes by a mark in their environment, which children inherit however far down and however detached. */
export const GATE_MARK = "HARMONYLITE_GATE";

export interface Stray {
  readonly pid: number;
  readonly command: string;
}

/** Living processes whose environment holds the mark with this value; undefined where there is no `/proc` to ask. */
export async function findStrays(value: string): Promise<Stray[] | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  const strays: Stray[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === Deno.pid) continue;
    const environment = await readProc(`/proc/${name}/environ`);
    if (!environment.split("\0").includes(`${GATE_MARK}=${value}`)) continue;
    strays.push({
      pid: Number(name),
      command: (await readProc(`/proc/${name}/cmdline`)).replaceAll("\0", " ").trim(),
    });
  }
  return strays;
}

/** Empty for a process that has ended meanwhile, or belongs to somebody else. */
async function readProc(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch(() => "");
}

/** Waits `graceMs` for strays to end by themselves, kills those that have not and returns them. */
export async function killStrays(value: string, graceMs: number): Promise<Stray[] | undefined> {
  const deadline = performance.now() + graceMs;
  let strays = await findStrays(value);
  while (strays !== undefined && strays.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    strays = await findStrays(value);
  }
  for (const { pid } of strays ?? []) {
    try {
      Deno.kill(pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return strays;
}
