import { dirname } from "node:path";
import { runProgram } from "./process.ts";
import { CHECKOUT_PROGRAM, ROOT } from "./node_process.ts";

/** A way to have the program as its users have it. */
export interface Program {
  readonly name: string;
  /** What stands before the words of the command line, for a node with this configuration. */
  readonly command: (config: string) => Promise<readonly string[]>;
  readonly env: Readonly<Record<string, string>>;
  /** Called `harmonylite` by the system, and locked to what the configuration asks for. */
  readonly isExecutable: boolean;
}

/** `deno run` with all permissions, as in a checkout. */
const CHECKOUT: Program = {
  name: "deno run",
  command: () => Promise.resolve(CHECKOUT_PROGRAM),
  env: {},
  isExecutable: false,
};

/** Builds what can be built here into a folder, and says what cannot. */
export async function buildPrograms(folder: string): Promise<Program[]> {
  const portable = await buildPortable(folder);
  const base = Deno.env.get("DENORT_BIN");
  if (base === undefined || base === "") {
    console.log("the compiled executable is not tried: DENORT_BIN names no runtime base");
    return [CHECKOUT, portable];
  }
  return [CHECKOUT, portable, compiled(folder)];
}

/** The portable file, unpacked in the same folder at its first start. */
export async function buildPortable(folder: string): Promise<Program> {
  const output = `${folder}/harmonylite`;
  await compile(["--portable", "--output", output]);
  return {
    name: "portable",
    command: () => Promise.resolve([output]),
    // The nats-server that it carries, not the one of the tests.
    env: { HARMONYLITE_CACHE: `${folder}/cache`, NATS_SERVER: "" },
    isExecutable: true,
  };
}

/** One for each configuration, as it is locked when it is built. */
function compiled(folder: string): Program {
  const built = new Map<string, string>();
  const command = async (config: string): Promise<readonly string[]> => {
    const output = built.get(config) ?? `${folder}/compiled-${built.size}/harmonylite`;
    await Deno.mkdir(dirname(output), { recursive: true });
    if (!built.has(config)) await compile(["--config", config, "--output", output]);
    built.set(config, output);
    return [output];
  };
  return { name: "compiled", command, env: { NATS_SERVER: "" }, isExecutable: true };
}

async function compile(args: readonly string[]): Promise<void> {
  await runProgram(Deno.execPath(), ["run", "-A", "--frozen", "scripts/compile.ts", ...args], { cwd: ROOT });
}
