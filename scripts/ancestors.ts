/**
 * The processes between this one and the command that was typed: npx, a shell, `deno task`. They do not pass signals
 * on, so whoever ends the command ends only the first of them. Watching them is how the last one notices.
 */
export interface Ancestors {
  /** Whether one of them has ended. */
  ended(): boolean;
}

interface ProcessStatus {
  readonly parent: number;
  readonly group: number;
}

/** Follows the parents of this process as far as they belong to its process group, which is the command's. */
export function findAncestors(): Ancestors {
  const chain: { pid: number; parent: number }[] = [];
  const self = readStatus(Deno.pid);
  for (let pid = Deno.pid, status = self; status !== undefined && status.group === self?.group;) {
    chain.push({ pid, parent: status.parent });
    pid = status.parent;
    status = readStatus(pid);
  }
  return { ended: () => chain.some(({ pid, parent }) => readStatus(pid)?.parent !== parent) };
}

/** From `/proc`, where there is one: `pid (name) state parent group …`; the name may hold anything. */
function readStatus(pid: number): ProcessStatus | undefined {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const [, parent, group] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { parent: Number(parent), group: Number(group) };
  } catch {
    return undefined; // It has ended, or this system has no /proc.
  }
}
