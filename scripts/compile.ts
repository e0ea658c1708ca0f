/**
 * Builds the program as one file: `deno task compile --help`.
 */
import { resolve } from "node:path";
import manifest from "../deno.json" with { type: "json" };
import { configPermissions } from "../src/cli/permissions.ts";
import { CONFIG_PATHS, loadConfig } from "../src/config/load.ts";
import { HarmonyLiteError, messageOf } from "../src/lib/errors.ts";
import { findNatsServer } from "../src/nats/server_binary.ts";
import { permissionFlags, V8_FLAG } from "./compile/flags.ts";
import { COMPILE_HELP, type CompileOptions, parseCompileOptions } from "./compile/options.ts";
import { digestOf, writePortable } from "./compile/portable.ts";
import { runToEnd } from "./compile/run_to_end.ts";

const ROOT = new URL("../", import.meta.url).pathname;

async function compile(options: CompileOptions): Promise<void> {
  await using stage = await makeStage();
  const natsServer = options.natsServer ?? await findNatsServer({ log: (line) => console.error(line) });
  await bundle(stage.path);
  await Deno.copyFile(natsServer, `${stage.path}/nats-server`);
  await Deno.chmod(`${stage.path}/nats-server`, 0o755);
  if (options.portable) await buildPortable(stage.path, options);
  else await buildCompiled(stage.path, options);
  const { size } = await Deno.stat(options.output);
  console.log(`Wrote ${options.output}: ${Math.round(size / 1e6)} MB, for ${options.target}`);
}

interface Stage extends AsyncDisposable {
  readonly path: string;
}

/** A folder whose content becomes the file, in one that is removed in the end. */
async function makeStage(): Promise<Stage> {
  const folder = await Deno.makeTempDir({ prefix: "harmonylite-compile-" });
  const path = `${folder}/program`;
  await Deno.mkdir(path);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
}

/**
 * All modules, those of npm too, in few files. Native parts of packages are left out: the packages do without. Not minified:
 * esbuild 0.25.5 makes `f()` of `using x = f()` then where `x` is named once, and nothing is disposed.
 */
async function bundle(folder: string): Promise<void> {
  await runToEnd(Deno.execPath(), [
    ...["bundle", "--quiet", "--platform", "deno", "--code-splitting", "--external", "*.node"],
    ...["--outdir", folder, "scripts/compile/entry.ts", "scripts/compile/plan.ts"],
  ], { cwd: ROOT });
}

async function buildPortable(stage: string, options: CompileOptions): Promise<void> {
  const { output, target, runtime = Deno.execPath() } = options;
  await Deno.copyFile(runtime, `${stage}/harmonylite`);
  await Deno.chmod(`${stage}/harmonylite`, 0o755);
  await writePortable(output, stage, { version: manifest.version, target });
}

async function buildCompiled(stage: string, options: CompileOptions): Promise<void> {
  await Deno.writeTextFile(`${stage}/nats-server.sha256`, await digestOf(`${stage}/nats-server`));
  await runToEnd(Deno.execPath(), await compileArguments(stage, options), { cwd: stage });
}

/** The permissions are those of the configuration as it is now. */
async function compileArguments(
  stage: string,
  { config: path, target, output }: CompileOptions,
): Promise<string[]> {
  const { config } = await loadConfig(path === undefined ? {} : { path });
  const permissions = configPermissions(config, { home: Deno.env.get("HOME") });
  const sought = (path === undefined ? CONFIG_PATHS : [path, CONFIG_PATHS[1]]).map((each) => resolve(each));
  const chunks = [...Deno.readDirSync(stage)].filter(({ name }) => /\.js$/.test(name) && name !== "plan.js");
  return [
    ...["compile", "--quiet", "--no-config", "--no-lock", "--no-npm", "--target", target, V8_FLAG],
    ...permissionFlags({ ...permissions, read: [...sought, ...permissions.read] }),
    ...chunks.flatMap(({ name }) => ["--include", name]),
    ...["--include", "nats-server", "--include", "nats-server.sha256"],
    ...["--output", resolve(output), "entry.js"],
  ];
}

if (import.meta.main) {
  try {
    const options = parseCompileOptions(Deno.args);
    if (options === "help") console.log(COMPILE_HELP);
    else await compile(options);
  } catch (error) {
    console.error(`compile: ${messageOf(error)}`);
    if (error instanceof HarmonyLiteError && error.hint !== undefined) console.error(`  ${error.hint}`);
    Deno.exit(1);
  }
}
