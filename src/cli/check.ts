import { findPathProblems, judgeDatabase } from "../config/paths.ts";
import { loadConfig, type LoadedConfig } from "../config/load.ts";
import { invalidConfiguration } from "../config/problem.ts";
import type { ConfigChoice } from "./command.ts";
import type { Io } from "./io.ts";
import { requirePermissions } from "./permissions.ts";

/** Judges the configuration and the files that it names; throws a ConfigError with all that is wrong. */
export async function check(choice: ConfigChoice, { stdout }: Io): Promise<void> {
  const loaded = await loadChoice(choice);
  await requirePaths(loaded, { withDatabase: true });
  const { config, file, notes } = loaded;
  const derived = config.nodeIdDerivedFrom;
  const lines = [
    `Configuration is valid: ${file ?? "environment and command line"}`,
    `  node_id ${config.nodeId}${derived === undefined ? "" : `, derived from ${derived}`}`,
    `  db_path ${config.dbPath}`,
    ...notes.map((note) => `  note: ${note}`),
  ];
  stdout.write(`${lines.join("\n")}\n`);
}

/** Loads the configuration that the command line chose. */
export async function loadChoice({ path, overrides }: ConfigChoice): Promise<LoadedConfig> {
  const loaded = await loadConfig({ overrides, ...path === undefined ? {} : { path } });
  requirePermissions(loaded.config);
  return loaded;
}

/** Throws a ConfigError that names every file that cannot be used, with the line of its setting. */
export async function requirePaths(
  { config, locate }: LoadedConfig,
  { withDatabase }: { withDatabase: boolean },
): Promise<void> {
  const wrong = await findPathProblems(config);
  const database = withDatabase ? await judgeDatabase(config.dbPath) : undefined;
  if (database !== undefined) wrong.unshift({ key: "db_path", text: database });
  if (wrong.length > 0) {
    throw invalidConfiguration(
      wrong.map(({ key, text }) => ({ ...locate(key), key, text: `cannot be used: ${text}` })),
    );
  }
}
