/** The simulation as a program: `deno task sim --help`. */
import { simulate, stepsOf } from "./convergence.ts";
import { parseCommand, type SimCommand, USAGE, UsageError } from "./command.ts";
import { hunt, type HuntOptions } from "./hunt.ts";

const OK = 0;
const WENT_WRONG = 1;
const NOT_UNDERSTOOD = 2;
/** How often a hunt says how far it is. */
const SEEDS_BETWEEN_LINES = 100;

async function run(command: SimCommand): Promise<number> {
  switch (command.kind) {
    case "help":
      console.log(USAGE);
      return OK;
    case "replay":
      return await replay(command);
    case "hunt":
      return await huntAndTell(command);
  }
}

async function replay({ seed, steps, only }: SimCommand & { kind: "replay" }): Promise<number> {
  const all = stepsOf(seed, steps);
  const chosen = only?.map((number) => all[number - 1]).filter((step) => step !== undefined);
  const { trace, violation } = await simulate(seed, chosen ?? all);
  console.log([`seed ${seed}`, ...trace, violation ?? "all is well"].map(String).join("\n"));
  return violation === undefined ? OK : WENT_WRONG;
}

async function huntAndTell(options: HuntOptions): Promise<number> {
  const started = performance.now();
  let done = 0;
  const tell = (): void => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    console.error(`${done} seeds from ${options.first} on went well, ${seconds} s`);
  };
  const found = await hunt({ ...options, onSeed: () => ++done % SEEDS_BETWEEN_LINES === 0 && tell() });
  tell();
  if (!found) return OK;
  const { seed, run: { trace, violation }, command } = found;
  console.log([`seed ${seed}`, ...trace, violation, "", command].map(String).join("\n"));
  return WENT_WRONG;
}

async function main(args: readonly string[]): Promise<number> {
  try {
    return await run(parseCommand(args));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return NOT_UNDERSTOOD;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
