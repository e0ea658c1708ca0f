/** The simulation as a program: `deno task sim --help`. */
import { simulate } from "./simulation.ts";
import { stepsOf } from "./steps.ts";
import { parseCommand, type SimCommand, USAGE, UsageError } from "./command.ts";
import { type Finding, hunt, shorten } from "./hunt.ts";
import { runMutation } from "./mutate.ts";
import { MUTATIONS } from "./mutations.ts";

const OK = 0;
const WENT_WRONG = 1;
const NOT_UNDERSTOOD = 2;
/** How often a hunt says how far it is. */
const SEEDS_BETWEEN_LINES = 100;
const VIOLATION_CHARS = 120;

async function run(command: SimCommand): Promise<number> {
  switch (command.kind) {
    case "help":
      console.log(USAGE);
      return OK;
    case "replay":
      return await replay(command);
    case "hunt":
      return await huntAndTell(command);
    case "mutations":
      return await mutate(command);
  }
}

async function replay({ seed, steps, only }: SimCommand & { kind: "replay" }): Promise<number> {
  const all = stepsOf(seed, steps);
  const chosen = only?.map((number) => all[number - 1]).filter((step) => step !== undefined);
  const { trace, violation } = await simulate(seed, chosen ?? all);
  console.log([`seed ${seed}`, ...trace, violation ?? "all is well"].map(String).join("\n"));
  return violation === undefined ? OK : WENT_WRONG;
}

async function huntAndTell(command: SimCommand & { kind: "hunt" }): Promise<number> {
  const { first, steps, firstOnly } = command;
  const started = performance.now();
  let [done, wrong] = [0, 0];
  const tell = (): void => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    console.error(`${done} seeds from ${first} on went well, ${wrong} did not, ${seconds} s`);
  };
  const onSeed = (): void => void (++done % SEEDS_BETWEEN_LINES === 0 && tell());
  for await (const found of hunt({ ...command, onSeed })) {
    wrong++;
    print(firstOnly ? found : await shorten(found, steps));
    if (firstOnly) break;
  }
  tell();
  return wrong === 0 ? OK : WENT_WRONG;
}

function print({ seed, run: { trace, violation }, command }: Finding): void {
  console.log([`seed ${seed}`, ...trace, violation, command, ""].map(String).join("\n"));
}

/** Whether the simulation misses what it is there to find. One line for each rule that was taken out. */
async function mutate({ names }: SimCommand & { kind: "mutations" }): Promise<number> {
  const unknown = names.find((name) => !MUTATIONS.some((each) => each.name === name));
  if (unknown !== undefined) throw new UsageError(`There is no mutation "${unknown}"`);
  let missed = 0;
  console.log("found by seed | at the latest | what was taken out | what went wrong");
  for (const mutation of MUTATIONS.filter(({ name }) => names.length === 0 || names.includes(name))) {
    const { seed, violation } = await runMutation(mutation);
    if (seed === undefined) missed++;
    const { name, rule, within } = mutation;
    console.log(
      `${seed ?? "MISSED"} | ${within} | ${name}: ${rule} | ${violation.slice(0, VIOLATION_CHARS)}`,
    );
  }
  if (missed > 0) console.log(`${missed} missed`);
  return missed === 0 ? OK : WENT_WRONG;
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
