import { removeIfThere, replacePrivately } from "../lib/files.ts";

/**
 * What a running node tells the program's other commands, in a file beside the database that only its user reads:
 * `<database>-harmonylite.json`. It is removed in an orderly end; after a crash it stays and tells of the past, so who
 * reads it must expect that nobody answers.
 */
export interface NodeState {
  /** Id of the node, in decimal. */
  readonly node: string;
  /** Of the node itself. */
  readonly process: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** The server that the node runs; undefined when it uses others. */
  readonly natsServer: NatsServerState | undefined;
}

export interface NatsServerState {
  /** Where clients on this machine reach it: `nats://127.0.0.1:4222`. */
  readonly url: string;
  /** `http://127.0.0.1:8222`, when it has a monitor. */
  readonly monitor: string | undefined;
  /** Undefined until it is ready. */
  readonly process: number | undefined;
}

export function nodeStatePath(databasePath: string): string {
  return `${databasePath}-harmonylite.json`;
}

export function writeNodeState(databasePath: string, state: NodeState): void {
  replacePrivately(nodeStatePath(databasePath), `${JSON.stringify(state, undefined, 2)}\n`);
}

/** Undefined when no node runs, or its file says nothing that can be understood. */
export function readNodeState(databasePath: string): NodeState | undefined {
  try {
    const state: unknown = JSON.parse(Deno.readTextFileSync(nodeStatePath(databasePath)));
    return isState(state) ? state : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export function removeNodeState(databasePath: string): void {
  removeIfThere(nodeStatePath(databasePath));
}

function isState(value: unknown): value is NodeState {
  if (typeof value !== "object" || value === null || !("node" in value)) return false;
  if (!("natsServer" in value)) return true;
  const { natsServer } = value;
  if (typeof natsServer !== "object" || natsServer === null) return false;
  return "url" in natsServer && URL.canParse(String(natsServer.url));
}
