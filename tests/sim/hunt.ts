import { type Run, simulate, stepsOf } from "./convergence.ts";
import { listText } from "./command.ts";

/** A seed that went wrong, with the fewest steps that still do. */
export interface Finding {
  readonly seed: number;
  readonly run: Run;
  /** The command that replays it. */
  readonly command: string;
}

export interface HuntOptions {
  readonly first: number;
  readonly last: number;
  readonly steps?: number | undefined;
  /** Told of each seed that has been run. */
  readonly onSeed?: (seed: number) => void;
}

/** The first seed of a range that goes wrong, undefined when none does. */
export async function hunt({ first, last, steps, onSeed }: HuntOptions): Promise<Finding | undefined> {
  for (let seed = first; seed <= last; seed++) {
    const { violation } = await simulate(seed, stepsOf(seed, steps));
    if (violation !== undefined) return await shorten(seed, steps, violation);
    onSeed?.(seed);
  }
  return undefined;
}

/** The first words tell which promise was broken. */
export function promiseOf(violation: unknown): string | undefined {
  return violation === undefined ? undefined : String(violation).split(/[:(]/).slice(0, 2).join();
}

/** Leaves out steps as long as the same goes wrong. */
async function shorten(seed: number, count: number | undefined, violation: unknown): Promise<Finding> {
  const all = stepsOf(seed, count);
  const run = (numbers: readonly number[]): Promise<Run> =>
    simulate(seed, numbers.map((number) => all[number - 1]!));
  const broken = promiseOf(violation);
  let kept = all.map((_, at) => at + 1);
  for (let size = Math.ceil(kept.length / 2); size > 0; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < kept.length;) {
      const fewer = kept.toSpliced(at, size);
      if (promiseOf((await run(fewer)).violation) === broken) kept = fewer;
      else at += size;
    }
  }
  const length = count === undefined ? "" : ` --steps ${count}`;
  const command = `deno task sim --seed ${seed}${length} --only ${listText(kept)}`;
  return { seed, run: await run(kept), command };
}
