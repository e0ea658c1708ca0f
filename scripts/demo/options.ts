import { parseArgs } from "node:util";

export interface DemoOptions {
  /** How long the applications write; undefined: until Ctrl-C. */
  readonly seconds: number | undefined;
  /** Transactions a second that each application writes. */
  readonly rate: number;
  /** Keep the folder with databases, configurations and streams. */
  readonly keep: boolean;
}

const ONCE_SECONDS = 10;
const DEFAULT_RATE = 100;
const MAX_RATE = 10_000;
const MAX_SECONDS = 24 * 3600;

export const DEMO_HELP = `A cluster of three nodes on this machine, and what it does, live.

usage: deno task demo [--once] [--seconds N] [--rate N] [--keep]

  --once        write for ${ONCE_SECONDS} seconds, then wait, compare and end; otherwise until Ctrl-C
  --seconds N   write for N seconds, then end likewise
  --rate N      transactions a second of each of the three applications; default ${DEFAULT_RATE}
  --keep        keep the folder with the databases

Exit code 0: all three databases were equal at the end, row by row, types included; 1: they were not, or something failed.`;

/** Throws an Error in words for the user. */
export function parseDemoOptions(args: string[]): DemoOptions | "help" {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: "boolean", short: "h", default: false },
      once: { type: "boolean", default: false },
      seconds: { type: "string" },
      rate: { type: "string", default: String(DEFAULT_RATE) },
      keep: { type: "boolean", default: false },
    },
  });
  if (values.help) return "help";
  const seconds = values.seconds ?? (values.once ? String(ONCE_SECONDS) : undefined);
  return {
    seconds: seconds === undefined ? undefined : wholeNumber("--seconds", seconds, MAX_SECONDS),
    rate: wholeNumber("--rate", values.rate, MAX_RATE),
    keep: values.keep,
  };
}

function wholeNumber(option: string, text: string, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new Error(`Cannot use ${option} "${text}": a whole number from 1 to ${max} is needed`);
}
