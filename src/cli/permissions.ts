import { dirname, resolve } from "node:path";
import { readServerConfig, serverFolder } from "../agent/embedded_server.ts";
import { missingPermissions, type Permissions, permissionsOf } from "../agent/permissions.ts";
import type { Config } from "../config/config.ts";
import { CONFIG_PATHS, inspectConfig, loadConfig } from "../config/load.ts";
import { ConfigError } from "../lib/errors.ts";
import { unpackedServerPath } from "../nats/server_inside.ts";
import { type Command, type ConfigChoice, type DoctorCommand, UsageError } from "./command.ts";
import { doctorPermissions } from "./doctor_permissions.ts";
import { parseCommand } from "./parse_command.ts";

/** Where the program is locked to, beside the configuration. */
export interface LockOptions {
  /** The nats-server that a node without `nats.urls` runs; default: beside the database, where a compiled program puts its own. */
  readonly natsServer?: string | undefined;
  readonly home?: string | undefined;
}

/** How a command line is carried out by a program that is locked to it. */
export interface Lock {
  readonly permissions: Permissions;
  /** The database that will be watched, which is to be prepared as a locked program cannot. */
  readonly watched?: string;
}

const NOTHING: Permissions = { read: [], write: [], net: [], env: [], sys: [], run: [] };

/**
 * What a command line asks for. One that cannot be understood, or whose configuration is not valid, may read that: it is the
 * locked program that says what is wrong.
 */
export async function planLock(args: readonly string[], options: LockOptions): Promise<Lock> {
  try {
    const command = parseCommand(args);
    if (command.name === "doctor") return await forDoctor(command, options);
    return "choice" in command ? await withConfig(command, options) : withoutConfig(command);
  } catch (error) {
    if (error instanceof UsageError) return { permissions: NOTHING };
    throw error;
  }
}

function withoutConfig(command: Command): Lock {
  return { permissions: command.name === "init" ? { ...NOTHING, write: [resolve(command.path)] } : NOTHING };
}

async function withConfig(
  command: Extract<Command, { choice: ConfigChoice }>,
  options: LockOptions,
): Promise<Lock> {
  const { path, overrides } = command.choice;
  const sought = soughtBy(command.choice);
  const folder = "output" in command ? [dirname(resolve(command.output))] : [];
  try {
    const { config } = await loadConfig({ overrides, ...path === undefined ? {} : { path } });
    const needed = configPermissions(config, options);
    const permissions = {
      ...needed,
      read: [...sought, ...needed.read, ...folder],
      write: [...needed.write, ...folder],
    };
    return { permissions, ...command.name === "run" ? { watched: config.dbPath } : {} };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { permissions: lookingFor(sought) };
  }
}

/** It examines what can be read of a configuration that is wrong, too. */
async function forDoctor(command: DoctorCommand, options: LockOptions): Promise<Lock> {
  const { path, overrides } = command.choice;
  const { config } = await inspectConfig({ overrides, ...path === undefined ? {} : { path } });
  return {
    permissions: [
      lookingFor(soughtBy(command.choice)),
      doctorPermissions(command, config),
      ...config.dbPath === "" ? [] : [configPermissions(config, options)],
    ].reduce(both),
  };
}

function soughtBy({ path }: ConfigChoice): string[] {
  return (path === undefined ? CONFIG_PATHS : [path]).map((each) => resolve(each));
}

/** Enough to say what is wrong with a configuration. */
function lookingFor(files: readonly string[]): Permissions {
  return { ...NOTHING, read: files, env: ["HARMONYLITE_*"], sys: ["hostname"] };
}

function both(one: Permissions, other: Permissions): Permissions {
  const merged = (key: keyof Permissions): readonly string[] => [...new Set([...one[key], ...other[key]])];
  return {
    read: merged("read"),
    write: merged("write"),
    net: merged("net"),
    env: merged("env"),
    sys: merged("sys"),
    run: merged("run"),
  };
}

/** What the program needs for a configuration, whichever command it is given. */
export function configPermissions(config: Config, { natsServer, home }: LockOptions): Permissions {
  const { urls, serverConfig } = config.nats;
  return permissionsOf(config, {
    natsServer: natsServer ?? unpackedServerPath(serverFolder(config.dbPath)),
    ownServer: urls.length > 0 || serverConfig === "" ? undefined : readServerConfig(serverConfig),
    home,
  });
}

/** Throws a ConfigError when this process was locked to a configuration that asks for less. */
export function requirePermissions(config: Config): void {
  const missing = missingPermissions(configPermissions(config, {}));
  if (missing.length === 0) return;
  throw new ConfigError(
    `Cannot use this configuration: the program was locked to another one, without ${missing.join(", ")}`,
    { hint: "Build it for this configuration: deno task compile --config FILE" },
  );
}
