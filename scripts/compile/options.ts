import { parseArgs } from "node:util";

/** What can be built for. */
const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
] as const;

type Target = typeof TARGETS[number];

export interface CompileOptions {
  /** Undefined: the usual places. Not used by the portable file, which reads it at each start. */
  readonly config: string | undefined;
  readonly target: Target;
  readonly output: string;
  readonly portable: boolean;
  /** The server to put inside; undefined: found or fetched, as the tests do, for this machine alone. */
  readonly natsServer: string | undefined;
  /** The Deno to put into the portable file; undefined: the one that runs this. */
  readonly runtime: string | undefined;
}

export const COMPILE_HELP = `Builds the program as one file, with nats-server inside.

usage: deno task compile [--config FILE] [--portable] [--target T] [--output FILE] [--nats-server FILE] [--runtime FILE]

  --config FILE       lock the executable to what this configuration asks for; else ./config.toml, then
                      /etc/harmonylite/config.toml
  --portable          a self-extracting file with the Deno runtime that runs this, for Linux: it reads the
                      configuration at each start and locks itself to that
  --target T          ${TARGETS.join(", ")}; default: this machine
  --output FILE       default: ./harmonylite
  --nats-server FILE  the nats-server to put inside, which a target other than this machine needs; default: the
                      one that NATS_SERVER names, one on PATH, in the cache, or fetched
  --runtime FILE      the \`deno\` to put into the portable file, which a target other than this machine needs;
                      default: the one that runs this

Without --portable the runtime base \`denort\` is downloaded from dl.deno.land, or taken from where DENORT_BIN
says.`;

/** Throws an Error in words for the user. `host`: what this machine is. */
export function parseCompileOptions(
  args: string[],
  host: string = Deno.build.target,
): CompileOptions | "help" {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: "boolean", short: "h", default: false },
      config: { type: "string" },
      portable: { type: "boolean", default: false },
      target: { type: "string", default: host },
      output: { type: "string", default: "harmonylite" },
      "nats-server": { type: "string" },
      runtime: { type: "string" },
    },
  });
  if (values.help) return "help";
  const { config, portable, target, output } = values;
  if (!isTarget(target)) {
    throw new Error(`Cannot build for "${target}": the targets are ${TARGETS.join(", ")}`);
  }
  if (portable && !target.includes("linux")) {
    throw new Error("Cannot build --portable for another system than Linux");
  }
  if (portable && config !== undefined) {
    throw new Error("Cannot use --config with --portable: that file reads its configuration at each start");
  }
  const { runtime, "nats-server": natsServer } = values;
  if (runtime !== undefined && !portable) throw new Error("Cannot use --runtime without --portable");
  if (target !== host && (natsServer === undefined || portable && runtime === undefined)) {
    const needed = portable ? "--nats-server and --runtime" : "--nats-server";
    throw new Error(`Cannot build for ${target} without ${needed}: what this machine has does not run there`);
  }
  return { config, target, output, portable, natsServer, runtime };
}

function isTarget(name: string): name is Target {
  return TARGETS.some((target) => target === name);
}
