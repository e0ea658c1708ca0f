import { renderExample, toToml } from "../config/example.ts";
import type { Override } from "../config/sources.ts";
import { readSources } from "../config/sources.ts";
import { invalidConfiguration } from "../config/problem.ts";
import { ConfigError, messageOf } from "../lib/errors.ts";
import type { Io } from "./io.ts";

/** Writes the annotated configuration, closed to other users as it may come to hold passwords. */
export async function init(
  command: { readonly path: string; readonly force: boolean; readonly overrides: readonly Override[] },
  { stdout }: Io,
): Promise<void> {
  const text = renderExample(withServer(chosenValues(command.overrides)));
  await write(command.path, text, command.force);
  stdout.write(
    `Wrote ${command.path}. Look at db_path and [nats] in it, then: harmonylite check --config ${command.path}\n`,
  );
}

/** Where NATS tools and `curl` look for a server, unless the node is to use other servers. */
function withServer(chosen: Record<string, string>): Record<string, string> {
  if ("nats.urls" in chosen) return chosen;
  return {
    "nats.bind_address": '"127.0.0.1:4222"',
    "nats.monitor_address": '"127.0.0.1:8222"',
    ...chosen,
  };
}

/** TOML texts by key of the settings that the user gave. Throws when one of them is not valid. */
function chosenValues(overrides: readonly Override[]): Record<string, string> {
  const { values, problems } = readSources({ overrides });
  const own = problems.filter(({ key }) => overrides.some((override) => override.key === key));
  if (own.length > 0) throw invalidConfiguration(own);
  return Object.fromEntries(overrides.map(({ key }) => [key, toToml(values.get(key))]));
}

async function write(path: string, text: string, force: boolean): Promise<void> {
  try {
    await Deno.writeTextFile(path, text, { createNew: !force, mode: 0o600 });
    if (Deno.build.os !== "windows") await Deno.chmod(path, 0o600); // A file that exists would keep its mode.
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) {
      throw new ConfigError(`Cannot write "${path}": ${messageOf(error)}`, { cause: error });
    }
    throw new ConfigError(`Cannot write "${path}": there is such a file already`, {
      hint: "Name another file, or write over it with --force.",
    });
  }
}
