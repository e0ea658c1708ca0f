import { parseArgs } from "node:util";

/** What the program is asked to do. */
export type SimCommand =
  | { readonly kind: "help" }
  | {
    readonly kind: "replay";
    readonly seed: number;
    /** How many steps; undefined: as many as the seed says. */
    readonly steps: number | undefined;
    /** The steps that are taken, by number from 1; undefined: all. */
    readonly only: readonly number[] | undefined;
  }
  | {
    readonly kind: "hunt";
    readonly first: number;
    /** May be Infinity. */
    readonly last: number;
    readonly steps: number | undefined;
    /** Stops at the first seed that goes wrong, and does not shorten it. */
    readonly firstOnly: boolean;
  }
  | {
    readonly kind: "mutations";
    /** Names; all when empty. */
    readonly names: readonly string[];
  };

export const USAGE = `\
Runs a whole cluster in one process, with every fault that may come between two steps, from one number.

  deno task sim                          seeds 1 to 300
  deno task sim --seeds A-B              these seeds
  deno task sim --forever [--from N]     seed after seed, until it is stopped
  deno task sim --seed N                 replays one seed and prints what happened, step by step

  deno task sim --mutations [NAME …]     takes rules out of the program, one at a time: does the simulation find it?

  --steps M        so many steps instead of as many as the seed says
  --only 3,7-9     with --seed: takes only these steps, as the command that a hunt prints says
  --first-only     stops at the first seed that goes wrong, and prints it as it is

What a hunt finds is shortened to the fewest steps and printed with the command that replays it.
Exit code: 0 all is well, 1 something went wrong, 2 the command was not understood.
How to read what it prints: tests/sim/README.md.`;

const DEFAULT_SEEDS = 300;
const NO_STEPS = "none";
const OPTIONS = {
  help: { type: "boolean", short: "h" },
  seed: { type: "string" },
  seeds: { type: "string" },
  steps: { type: "string" },
  only: { type: "string" },
  forever: { type: "boolean" },
  from: { type: "string" },
  mutations: { type: "boolean" },
  "first-only": { type: "boolean" },
} as const;

/** A command line that means nothing. */
export class UsageError extends Error {
  override name = "UsageError";
}

export function parseCommand(args: readonly string[]): SimCommand {
  const { values, positionals } = readOptions(args);
  const steps = values.steps === undefined ? undefined : number("--steps", values.steps);
  if (values.help) return { kind: "help" };
  if (values.mutations) return { kind: "mutations", names: positionals };
  if (positionals.length > 0) throw new UsageError(`"${positionals[0]}" means nothing here`);
  if (values.seed !== undefined) {
    const only = values.only === undefined ? undefined : numbers("--only", values.only);
    return { kind: "replay", seed: number("--seed", values.seed), steps, only };
  }
  if (values.only !== undefined) throw new UsageError("--only needs --seed");
  const [first, last] = values.forever
    ? [number("--from", values.from ?? "1"), Infinity]
    : range("--seeds", values.seeds ?? `1-${DEFAULT_SEEDS}`);
  return { kind: "hunt", first, last, steps, firstOnly: values["first-only"] ?? false };
}

type Options = ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>>;

function readOptions(args: readonly string[]): Options {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function number(name: string, text: string): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value === 0) throw new UsageError(`${name} needs a number from 1, not "${text}"`);
  return value;
}

/** `7` or `7-9`. */
function range(name: string, text: string): [first: number, last: number] {
  const [first, last, ...rest] = text.split("-");
  if (rest.length > 0) throw new UsageError(`${name} needs a range such as 1-100, not "${text}"`);
  const bounds: [number, number] = [number(name, first!), number(name, last ?? first!)];
  if (bounds[0] > bounds[1]) throw new UsageError(`${name} needs a range such as 1-100, not "${text}"`);
  return bounds;
}

function numbers(name: string, text: string): number[] {
  if (text === NO_STEPS) return [];
  return text.split(",").flatMap((piece) => {
    const [first, last] = range(name, piece);
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  });
}

/** The reverse of what `--only` reads. */
export function listText(list: readonly number[]): string {
  if (list.length === 0) return NO_STEPS;
  const pieces: string[] = [];
  for (let at = 0; at < list.length; at++) {
    const start = at;
    while (list[at + 1] === list[at]! + 1) at++;
    pieces.push(start === at ? `${list[at]}` : `${list[start]}-${list[at]}`);
  }
  return pieces.join(",");
}
