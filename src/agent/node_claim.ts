import { StreamError } from "../lib/errors.ts";
import { pause } from "../lib/sleep.ts";
import type { Logger } from "../observe/logger.ts";
import type { KeyValueStore } from "../stream/key_value.ts";

/** One entry for each node of a cluster. */
export const NODES_BUCKET = "harmonylite-nodes";

/** How often a node looks whether its entry is still its own. */
export const CLAIM_INTERVAL_MS = 5_000;
/** How often a doubled id is said again. */
const REMINDER_MS = 60_000;

/** A running node, as it tells the others. */
export interface NodeInstance {
  /** Drawn at random when the process starts. */
  readonly instance: string;
  readonly host: string;
  readonly database: string;
  readonly process: number;
  readonly startedAt: string;
}

export interface NodeClaimOptions {
  readonly store: KeyValueStore;
  readonly node: bigint;
  readonly own: NodeInstance;
  readonly logger: Logger;
  /** Milliseconds since whenever; never goes back. */
  readonly now: () => number;
  readonly checkIntervalMs: number;
}

/**
 * Finds out whether another running process has this node's id. Each puts an entry under its id, and puts it back when it
 * finds another's in its place. An entry that is put again after that is a sign of life: one that a process left behind
 * which has died since is replaced for good. So a node that comes back after a crash is never taken for two.
 *
 * Both go on replicating: what is a node's own change is known by its version, so rows do not differ for it.
 */
export class NodeClaim {
  readonly #options: NodeClaimOptions;
  readonly #key: string;
  readonly #entry: Uint8Array;
  /** Whether our entry was there once. */
  #isPut = false;
  /** Who replaced our entry last. */
  #other: NodeInstance | undefined;
  #saidAt = -Infinity;
  #saidReason: string | undefined;

  constructor(options: NodeClaimOptions) {
    this.#options = options;
    this.#key = `node-${options.node}`;
    this.#entry = encode(options);
  }

  async run({ signal }: { signal: AbortSignal }): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#check(signal);
        this.#saidReason = undefined;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof StreamError)) throw error;
        this.#sayUnable(error);
      }
      await pause(this.#options.checkIntervalMs, signal);
    }
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { store, own } = this.#options;
    const bytes = await store.get(this.#key, signal);
    const there = bytes && decode(bytes);
    if (there?.instance === own.instance) return;
    if (this.#isPut && there) this.#meet(there);
    await store.put(this.#key, this.#entry, signal);
    this.#isPut = true;
  }

  /** Another entry is in the place of ours: for the second time, unless that one was still on its way when its writer died. */
  #meet(there: NodeInstance): void {
    const isAlive = this.#other?.instance === there.instance;
    this.#other = there;
    const { logger, node, own, now } = this.#options;
    if (!isAlive || now() - this.#saidAt < REMINDER_MS) return;
    this.#saidAt = now();
    logger.error("Two nodes run with the same node_id", {
      node,
      here: describe(own),
      there: describe(there),
      hint:
        "Give one of them another node_id and start it again. No change is lost until then, but which of them made a " +
        "change cannot be told, and what one overrides of the other is not among the conflicts.",
    });
  }

  /** Said once for each reason: an outage may last for days. */
  #sayUnable({ message, hint }: StreamError): void {
    if (this.#saidReason !== message) {
      this.#options.logger.debug("Unable to look for a second node with this id", { reason: message, hint });
    }
    this.#saidReason = message;
  }
}

function describe({ host, database, process }: NodeInstance): string {
  return `${host}: ${database}, process ${process}`;
}

/** An id may exceed what a JavaScript number holds, and is a JSON number all the same. */
function encode({ node, own }: NodeClaimOptions): Uint8Array {
  const { startedAt, ...rest } = own;
  const json = JSON.stringify({ ...rest, started_at: startedAt });
  return new TextEncoder().encode(`{"node_id":${node},${json.slice(1)}`);
}

/** Undefined for what no node of ours has put there. */
function decode(bytes: Uint8Array): NodeInstance | undefined {
  const { instance, host, database, process, started_at: startedAt } = readJson(bytes);
  if (typeof instance !== "string") return undefined;
  return {
    instance,
    host: String(host),
    database: String(database),
    process: Number(process),
    startedAt: String(startedAt),
  };
}

function readJson(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Then it is nothing.
  }
  return {};
}
