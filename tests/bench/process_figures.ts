/** What the kernel says about one process, its children not included. Linux only; undefined elsewhere. */
export interface ProcessFigures {
  readonly residentMb: number;
  /** The most that was resident since it started. */
  readonly peakMb: number;
  readonly cpuSeconds: number;
}

/** The unit of times in `/proc`: 100 on every Linux that Deno runs on. */
const TICKS_PER_SECOND = 100;

export function processFigures(pid: number): ProcessFigures | undefined {
  if (Deno.build.os !== "linux") return undefined;
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const kilobytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(status)?.[1]);
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  // `pid (name) state …`: the name may hold anything; user and system time are the 14th and 15th field.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    residentMb: kilobytes("VmRSS") / 1024,
    peakMb: kilobytes("VmHWM") / 1024,
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
  };
}
