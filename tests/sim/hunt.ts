import { listText } from "./command.ts";
import { type Run, simulate } from "./simulation.ts";
import { stepsOf } from "./steps.ts";

/** A seed that went wrong. */
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
  /** Told of each seed that went well. */
  readonly onSeed?: (seed: number) => void;
}

/** The seeds of a range that go wrong. */
export async function* hunt({ first, last, steps, onSeed }: HuntOptions): AsyncGenerator<Finding> {
  for (let seed = first; seed <= last; seed++) {
    const run = await simulate(seed, stepsOf(seed, steps));
    if (run.violation === undefined) onSeed?.(seed);
    else yield { seed, run, command: commandOf(seed, steps) };
  }
}

/** Leaves out steps of what was found as long as the same goes wrong. */
export async function shorten({ seed, run: { violation } }: Finding, steps?: number): Promise<Finding> {
  const all = stepsOf(seed, steps);
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
  return { seed, run: await run(kept), command: `${commandOf(seed, steps)} --only ${listText(kept)}` };
}

function commandOf(seed: number, steps: number | undefined): string {
  return `deno task sim --seed ${seed}${steps === undefined ? "" : ` --steps ${steps}`}`;
}

/** The first words tell which promise was broken. */
function promiseOf(violation: unknown): string | undefined {
  return violation === undefined ? undefined : String(violation).split(/[:(]/).slice(0, 2).join();
}
