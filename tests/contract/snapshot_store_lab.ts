import type { NatsConnection } from "@nats-io/transport-node";
import type { Config } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { openStore } from "../../src/snapshot/open_store.ts";
import type { SnapshotStore } from "../../src/snapshot/store.ts";
import type { StoreLimits } from "../../src/snapshot/transfer.ts";

export interface Access {
  /** Of a proxy before the server. */
  readonly port?: number;
  /** With a password or secret key that the server does not know. */
  readonly wrongSecret?: boolean;
}

/** One kind of store on its real server, with what the suite does to it from outside. */
export interface StoreLab extends AsyncDisposable {
  /** Adapter and server, as printed. */
  readonly adapter: string;
  /** Of the server; undefined when there is none. */
  readonly port: number | undefined;
  /** What the messages of the store must never hold. */
  readonly secrets: readonly string[];
  /** Configuration for a folder, prefix or bucket of the server. */
  toml(folder: string, access?: Access): string;
  /** For the store that needs a connection. */
  connect?(config: Config): Promise<NatsConnection>;
  /** What lies in the folder besides these objects. */
  leftovers(folder: string, objects: readonly string[]): Promise<string[]>;
  /** Takes away a part of what the server holds of an object. */
  damage(folder: string, name: string): Promise<void>;
  /** What a put is called that finds no room. */
  readonly fullCodes: readonly string[];
  /** Configuration for a server with room for {@link SMALL_BYTES}; undefined where this machine cannot make one. */
  startSmall(): Promise<string | undefined>;
}

export const SMALL_BYTES = 16 << 20;

/** Opens a store as the program does, from a configuration. */
export async function openFrom(lab: StoreLab, toml: string, limits?: StoreLimits): Promise<SnapshotStore> {
  const config = configOf(toml);
  const connect = (): Promise<NatsConnection> =>
    lab.connect?.(config) ?? Promise.reject(new Error("it needs no connection"));
  return await openStore(config, connect, limits);
}

export function configOf(toml: string): Config {
  return parseConfig(`db_path = "/data.db"\n${toml}`);
}

export function strangers(found: readonly string[], objects: readonly string[]): string[] {
  return found.filter((name) => !objects.includes(name));
}

/** All that is in a folder; nothing when it is not there. */
export function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
