import { messageOf } from "../lib/errors.ts";
import { type Config, secretsOf } from "../config/config.ts";
import { redactor } from "../lib/redact.ts";
import { within } from "../lib/sleep.ts";
import type { SnapshotStatus } from "../observe/node_status.ts";
import { holderOf, LEADER } from "../snapshot/lease.ts";
import type { Generation } from "../snapshot/manifest.ts";
import type { LogConnection } from "./log_connection.ts";
import { generationsOf } from "./save_snapshot.ts";
import type { Snapshots } from "./snapshots.ts";

/** What the store holds is asked for no more often than this, and only when somebody wants to know. */
const LOOK_INTERVAL_MS = 15_000;
/** How long the store may take to answer. */
const LOOK_TIMEOUT_MS = 30_000;
/** How long whoever wants to know waits for the first answer; later ones get the last. */
const FIRST_ANSWER_MS = 1_000;

interface Look {
  readonly leader: string | undefined;
  readonly generations: readonly Generation[];
  readonly problem: string | undefined;
}

/** What is known of the snapshots of the cluster, on whichever node. */
export class SnapshotWatch {
  readonly #config: Config;
  readonly #connection: Pick<LogConnection, "leases" | "openStore">;
  readonly #snapshots: Pick<Snapshots, "isLeader" | "failure" | "newest">;
  readonly #signal: AbortSignal;
  #last: Look | undefined;
  #looking: Promise<void> | undefined;
  #lookedMs = -Infinity;

  constructor(
    config: Config,
    { connection, snapshots, signal }: {
      readonly connection: Pick<LogConnection, "leases" | "openStore">;
      readonly snapshots: Pick<Snapshots, "isLeader" | "failure" | "newest">;
      readonly signal: AbortSignal;
    },
  ) {
    this.#config = config;
    this.#connection = connection;
    this.#snapshots = snapshots;
    this.#signal = signal;
  }

  /** Resolves within a second or so, whatever the store does. Undefined where snapshots are not enabled. */
  async status(): Promise<SnapshotStatus | undefined> {
    if (!this.#config.snapshot.enabled) return undefined;
    if (performance.now() - this.#lookedMs >= LOOK_INTERVAL_MS && !this.#signal.aborted) this.#startLook();
    if (this.#last === undefined && this.#looking) await within(FIRST_ANSWER_MS, this.#looking);
    const { isLeader, failure } = this.#snapshots;
    const newest = newerOf(this.#last?.generations[0], this.#snapshots.newest);
    return {
      newest: newest?.name,
      takenAtMs: newest?.timeMs,
      takenBy: newest?.node?.toString(),
      bytes: newest?.size,
      kept: this.#last?.problem === undefined ? this.#last?.generations.length : undefined,
      problem: redactFor(this.#config, this.#last?.problem),
      leader: isLeader ? String(this.#config.nodeId) : this.#last?.leader,
      isLeader,
      failure: redactFor(this.#config, failure),
    };
  }

  #startLook(): void {
    if (this.#looking) return;
    this.#lookedMs = performance.now();
    this.#looking = this.#look().finally(() => this.#looking = undefined);
  }

  /** What fails is part of what is known; the newest snapshot stays what it was. */
  async #look(): Promise<void> {
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(LOOK_TIMEOUT_MS)]);
    const leader = await holderOf(this.#connection.leases, LEADER, signal).catch(() => undefined); // Not known, then.
    try {
      await using store = await this.#connection.openStore();
      const generations = await generationsOf(this.#config, store).list(signal);
      this.#last = { leader, generations, problem: undefined };
    } catch (error) {
      this.#last = { leader, generations: this.#last?.generations ?? [], problem: messageOf(error) };
    }
  }
}

/** Without secrets: it is told to whoever asks, and a store may have a password in its address. */
export function redactFor(config: Config, text: string | undefined): string | undefined {
  return text === undefined ? undefined : redactor(secretsOf(config))(text);
}

/** A node that takes the snapshots knows of its own at once. */
function newerOf(a: Generation | undefined, b: Generation | undefined): Generation | undefined {
  return b !== undefined && b.timeMs > (a?.timeMs ?? 0) ? b : a;
}
