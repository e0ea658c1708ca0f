/**
 * The benchmark: what HarmonyLite costs and achieves on this machine, measured from outside with real processes, a real
 * nats-server and the table and methods that the first figures of the design were made with.
 *
 *     deno task bench                    everything, about four minutes
 *     deno task bench lag bulk           chosen parts
 *     deno task bench --runs 3 --json    lowest, median and highest of three runs, as one JSON object
 *
 * A target that is missed is told, not failed: the exit code is 1 only when something does not work or rows are missing.
 */
import { parseArgs } from "node:util";
import { findAncestors } from "../../scripts/ancestors.ts";
import { messageOf } from "../../src/lib/errors.ts";
import { findNatsServer } from "../../src/nats/server_binary.ts";
import { combine, type CombinedFigure, type Figure, formatTable } from "./figures.ts";
import { closeLabs } from "./lab.ts";
import { backlog } from "./parts/backlog.ts";
import { bulk } from "./parts/bulk.ts";
import { catchUp } from "./parts/catch_up.ts";
import { codec } from "./parts/codec.ts";
import { idle } from "./parts/idle.ts";
import { lag } from "./parts/lag.ts";
import { many } from "./parts/many.ts";
import type { Part, PartOptions } from "./parts/part.ts";
import { soak } from "./parts/soak.ts";
import { trigger } from "./parts/trigger.ts";
import { snapshot } from "./parts/snapshot.ts";
import { verify } from "./parts/verify.ts";
import { writeLatency } from "./parts/write_latency.ts";

const PARTS: readonly Part[] = [
  trigger,
  writeLatency,
  bulk,
  backlog,
  catchUp,
  lag,
  idle,
  verify,
  snapshot,
  codec,
  many,
  soak,
];
const INTERRUPTED = 130;
const ANCESTORS_INTERVAL_MS = 1_000;

interface BenchOptions extends PartOptions {
  readonly parts: readonly Part[];
  readonly runs: number;
  readonly json: boolean;
}

interface Results {
  readonly figures: readonly CombinedFigure[];
  readonly failures: readonly string[];
}

function help(): string {
  const width = Math.max(...PARTS.map(({ name }) => name.length));
  return [
    "usage: deno task bench [PART…] [--runs N] [--seconds N] [--rates N,N] [--minutes N] [--json]",
    "",
    ...PARTS.map(({ name, help }) => `  ${name.padEnd(width)}  ${help}`),
    "",
    "  --runs N      repeat, and give median, lowest and highest; default 1",
    "  --seconds N   how long to write at each rate; default 10",
    "  --rates N,N   single-row transactions a second; default 10,200,1000,5000",
    "  --minutes N   how long the soak lasts; default 60",
    "  --json        one JSON object on standard output",
  ].join("\n");
}

/** Throws an Error in words for the user. */
function parseOptions(args: string[]): BenchOptions | "help" {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h", default: false },
      json: { type: "boolean", default: false },
      runs: { type: "string", default: "1" },
      seconds: { type: "string", default: "10" },
      rates: { type: "string", default: "10,200,1000,5000" },
      minutes: { type: "string", default: "60" },
    },
  });
  if (values.help) return "help";
  return {
    parts: positionals.length === 0 ? PARTS.filter(({ isLong }) => !isLong) : positionals.map(partNamed),
    runs: positive("--runs", values.runs),
    seconds: positive("--seconds", values.seconds),
    rates: values.rates.split(",").map((rate) => positive("--rates", rate)),
    minutes: positive("--minutes", values.minutes),
    json: values.json,
  };
}

function partNamed(name: string): Part {
  const part = PARTS.find((each) => each.name === name);
  if (part) return part;
  throw new Error(`Cannot measure "${name}": the parts are ${PARTS.map((each) => each.name).join(", ")}`);
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`Cannot use ${option} "${text}": a whole number from 1 on is needed`);
}

/** A part that fails does not keep the others from being measured. */
async function measure(options: BenchOptions, stopped: AbortSignal): Promise<Results> {
  const byPart = new Map<Part, Figure[][]>(options.parts.map((part) => [part, []]));
  const failures: string[] = [];
  for (let run = 1; run <= options.runs; run++) {
    for (const [part, results] of byPart) {
      say(`${options.runs > 1 ? `run ${run} of ${options.runs}: ` : ""}${part.name} …`);
      try {
        results.push(await part.measure(options));
      } catch (error) {
        if (stopped.aborted) return { figures: [], failures };
        failures.push(`${part.name}: ${messageOf(error)}`);
        say(`FAILED: ${failures.at(-1)}`);
      }
    }
  }
  return { figures: [...byPart].flatMap(([part, results]) => combine(part.name, results)), failures };
}

function machine(natsVersion: string): Record<string, string | number> {
  const { deno, v8 } = Deno.version;
  return { target: Deno.build.target, cores: navigator.hardwareConcurrency, deno, v8, nats: natsVersion };
}

/** Progress goes to standard error: standard output is the result alone. */
function say(line: string): void {
  console.error(line);
}

/** Clears everything away and exits on a signal, and when the command that runs this has ended. */
function stopWhenAsked(): AbortSignal {
  const stopped = new AbortController();
  const stop = async (): Promise<void> => {
    stopped.abort();
    await closeLabs();
    Deno.exit(INTERRUPTED);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) Deno.addSignalListener(signal, stop);
  const ancestors = findAncestors();
  Deno.unrefTimer(setInterval(() => {
    if (ancestors.ended()) void stop();
  }, ANCESTORS_INTERVAL_MS));
  return stopped.signal;
}

/** Fetches the server, if need be, and gives its path to all that start one. Returns its version. */
async function prepareNatsServer(): Promise<string> {
  const path = await findNatsServer({ log: say });
  Deno.env.set("NATS_SERVER", path);
  const { stdout } = await new Deno.Command(path, { args: ["--version"] }).output();
  return new TextDecoder().decode(stdout).trim().replace(/^nats-server: v?/, "");
}

async function main(args: string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === "help") {
    console.log(help());
    return 0;
  }
  const stopped = stopWhenAsked();
  const about = machine(await prepareNatsServer());
  const { figures, failures } = await measure(options, stopped);
  if (stopped.aborted) {
    await closeLabs();
    return INTERRUPTED;
  }
  if (options.json) console.log(JSON.stringify({ machine: about, runs: options.runs, figures, failures }));
  else {
    console.log(`\n${Object.entries(about).map(([name, value]) => `${name} ${value}`).join(", ")}\n`);
    console.log(formatTable(figures, options.runs));
    for (const failure of failures) console.log(`\nFAILED: ${failure}`);
  }
  return failures.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    say(messageOf(error));
    Deno.exit(1);
  }
}
