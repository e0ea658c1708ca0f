import { ConfigError, messageOf } from "../lib/errors.ts";
import type { Config } from "./config.ts";
import { findNotes } from "./notes.ts";
import { inspectSources, type MachineName } from "./parse.ts";
import { invalidConfiguration, type Problem } from "./problem.ts";
import { findMistypedVariables, type Override, type Place } from "./sources.ts";

/** Where a configuration is sought when none is named, in this order. */
export const CONFIG_PATHS = ["config.toml", "/etc/harmonylite/config.toml"] as const;

export interface LoadOptions {
  /** The file that the user named; without it {@link CONFIG_PATHS} are tried. */
  readonly path?: string;
  /** Settings of the command line. */
  readonly overrides?: readonly Override[];
  /** Default: the environment of this process. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Default: the two above. */
  readonly searchPaths?: readonly string[];
}

export interface LoadedConfig {
  readonly config: Config;
  /** The file that was read; undefined when everything came from environment and command line. */
  readonly file: string | undefined;
  /** What a user might want to know, though nothing is wrong. */
  readonly notes: readonly string[];
  /** Where the user wrote a setting, or would have written it. */
  readonly locate: (key: string) => Place;
}

/** What is there of a configuration that may be broken. */
export interface InspectedConfig extends LoadedConfig {
  /** The file's text, as it stands. */
  readonly text: string | undefined;
  readonly problems: readonly Problem[];
}

/** Flag over environment over file over default. Throws one ConfigError that holds every problem. */
export async function loadConfig(options: LoadOptions = {}): Promise<LoadedConfig> {
  const { text: _, problems, ...loaded } = assemble(await findFile(options), options);
  if (problems.length > 0) throw invalidConfiguration(problems);
  return loaded;
}

/** Likewise with all that is wrong: settings that cannot be read hold their default, else nothing. */
export async function inspectConfig(options: LoadOptions = {}): Promise<InspectedConfig> {
  try {
    return assemble(await findFile(options), options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const where = options.path ?? "configuration";
    const inspected = assemble(undefined, options);
    return { ...inspected, problems: [{ where, line: 0, key: "", text: error.message }] };
  }
}

/** Undefined when environment and command line say enough. */
async function findFile(options: LoadOptions): Promise<ConfigFile | undefined> {
  const { overrides = [], environment = Deno.env.toObject() } = options;
  const file = options.path === undefined ? await search(options) : await readNamed(options.path);
  const knowsDatabase = environment["HARMONYLITE_DB_PATH"] || overrides.some(({ key }) => key === "db_path");
  if (file === undefined && !knowsDatabase) throw noConfiguration(options.searchPaths ?? CONFIG_PATHS);
  return file;
}

function assemble(file: ConfigFile | undefined, options: LoadOptions): InspectedConfig {
  const { overrides = [], environment = Deno.env.toObject() } = options;
  const { config, locate, problems } = inspectSources(
    { environment, overrides, ...file === undefined ? {} : { file } },
    { workingDirectory: Deno.cwd(), machine: () => nameMachine() },
  );
  return {
    config,
    file: file?.name,
    text: file?.text,
    notes: [...findMistypedVariables(environment), ...findNotes(config)],
    locate,
    problems,
  };
}

interface ConfigFile {
  readonly name: string;
  readonly text: string;
}

async function readNamed(path: string): Promise<ConfigFile> {
  try {
    return { name: path, text: await Deno.readTextFile(path) };
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "there is no such file" : messageOf(error);
    throw new ConfigError(`Cannot read the configuration "${path}": ${reason}`, {
      hint: "`harmonylite init FILE` writes one with every key and what it does.",
      cause: error,
    });
  }
}

async function search(options: LoadOptions): Promise<ConfigFile | undefined> {
  for (const path of options.searchPaths ?? CONFIG_PATHS) {
    if (await exists(path)) return await readNamed(path);
  }
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    // Otherwise it is there but closed to us, which reading it says; unless the program was locked without this place.
    return !(error instanceof Deno.errors.NotCapable);
  }
}

function noConfiguration(paths: readonly string[]): ConfigError {
  return new ConfigError(`Cannot find a configuration: there is no ${paths.join(" and no ")}`, {
    hint: "Name one with --config FILE, or write one with `harmonylite init`.",
  });
}

export const MACHINE_ID_FILES = ["/etc/machine-id", "/var/lib/dbus/machine-id"] as const;

/** The machine id of the system, else its host name. */
export function nameMachine(files: readonly string[] = MACHINE_ID_FILES): MachineName {
  for (const file of files) {
    const id = readMachineId(file);
    if (id !== undefined) return { id, source: "machine id" };
  }
  return { id: Deno.hostname(), source: "host name" };
}

/** Images ship the file empty or with the word `uninitialized`. */
function readMachineId(file: string): string | undefined {
  try {
    const id = Deno.readTextFileSync(file).trim();
    return /^[0-9a-f]{32}$/i.test(id) ? id : undefined;
  } catch {
    return undefined; // No such file, or closed to us: the next source is tried.
  }
}
