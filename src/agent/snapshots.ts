import { type Position, readPositions } from "../apply/position.ts";
import type { Config } from "../config/config.ts";
import { Backoff } from "../lib/backoff.ts";
import { HarmonyLiteError, type StreamError } from "../lib/errors.ts";
import { pause, untilAborted } from "../lib/sleep.ts";
import { Wakeup } from "../lib/wakeup.ts";
import { LEADER, Lease } from "../snapshot/lease.ts";
import type { Generation } from "../snapshot/manifest.ts";
import { callPeer, type PeerMethods } from "../stream/peer_calls.ts";
import type { Peers } from "../stream/peers.ts";
import type { LogConnection } from "./log_connection.ts";
import type { Replica } from "./replica.ts";
import { generationsOf, leaseOf, saveNow, tellFailure } from "./save_snapshot.ts";

/** How often the one in charge looks whether a snapshot is due. Only its own database is asked. */
const LOOK_INTERVAL_MS = 1_000;
/** Pauses after a snapshot that could not be taken. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 300_000;
/** How long nodes have to say that they run, and to answer. */
const ANSWER_TIMEOUT_MS = 2_000;

const REQUEST = "takeSnapshot";

/**
 * Asks the node in charge of the snapshots to take one at once, whatever is due.
 *
 * @returns whether one has said that it will: it is listed when it has been taken
 */
export async function requestSnapshot(peers: Peers, signal: AbortSignal): Promise<boolean> {
  const options = { timeoutMs: ANSWER_TIMEOUT_MS, signal };
  for (const peer of await peers.find(options)) {
    const answer = await callPeer<boolean>(peers, peer, [REQUEST], options).catch(() => false);
    signal.throwIfAborted();
    if (answer) return true;
  }
  return false;
}

/** When a node may take snapshots for its cluster. */
export interface Readiness {
  /** Resolves when it has applied what the streams held when it started. */
  readonly caughtUp: Promise<void>;
  /** False while it lacks something that was in the streams. */
  readonly mayPublish: boolean;
}

/**
 * Takes the snapshots of the cluster while this node has the lease: a first one at once, then each `snapshot.interval`, when
 * a stream has moved on far enough, and when another node asks for one. What fails is tried again.
 */
export class Snapshots {
  readonly #replica: Replica;
  readonly #connection: LogConnection;
  readonly #backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
  readonly #wakeup = new Wakeup();
  #lease: Lease | undefined;
  #isRequested = false;
  #saidReason: string | undefined;
  #newest: Generation | undefined;
  #failure: string | undefined;

  constructor(replica: Replica, connection: LogConnection) {
    this.#replica = replica;
    this.#connection = connection;
  }

  /** Whether this process takes the snapshots of the cluster. */
  get isLeader(): boolean {
    return this.#lease?.isHeld ?? false;
  }

  /** The newest one when this process looked last; it looks while it takes the snapshots. */
  get newest(): Generation | undefined {
    return this.#newest;
  }

  /** Why the last one that was due could not be taken; undefined once one was. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** What other nodes may ask. */
  get methods(): PeerMethods {
    return { [REQUEST]: () => Promise.resolve(this.#request()) };
  }

  async run({ readiness, signal }: { readiness: Readiness; signal: AbortSignal }): Promise<void> {
    const { config } = this.#replica;
    let isCaughtUp = false;
    readiness.caughtUp.then(() => isCaughtUp = true);
    this.#lease = new Lease({
      ...leaseOf(config, this.#connection.leases, LEADER),
      isWanted: () => isCaughtUp && readiness.mayPublish,
      onFailure: (error) => this.#sayUnable(error),
    });
    await Promise.all([this.#lease.run({ signal }), this.#takeWhenDue(this.#lease, signal)]);
  }

  /** Said once for each reason: an outage may last for days. */
  #sayUnable({ message, hint, transient }: StreamError): void {
    if (this.#saidReason === message) return;
    this.#saidReason = message;
    const { logger } = this.#replica;
    logger[transient ? "debug" : "warn"]("Unable to find out who takes the snapshots", {
      reason: message,
      hint,
    });
  }

  #request(): boolean {
    if (!this.#lease?.isHeld) return false;
    this.#isRequested = true;
    this.#wakeup.notify();
    return true;
  }

  async #takeWhenDue(lease: Lease, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const lost = await untilAborted(lease.acquired, signal);
      if (lost) await this.#lead(AbortSignal.any([signal, lost]));
    }
  }

  /** Takes what is due for as long as this node has the lease. */
  async #lead(held: AbortSignal): Promise<void> {
    let hasLooked = false;
    while (!held.aborted) {
      try {
        if (!hasLooked || await this.#isDue(this.#newest, held)) {
          this.#newest = await this.#takeIfDue(held);
          [hasLooked, this.#failure] = [true, undefined];
        }
        await this.#wakeup.wait(LOOK_INTERVAL_MS, held);
      } catch (error) {
        if (held.aborted) return;
        if (!(error instanceof HarmonyLiteError)) throw error;
        this.#failure = error.message;
        tellFailure(this.#replica.logger, error);
        await pause(this.#backoff.next(), held);
      }
    }
  }

  /** The newest snapshot after that. The store is open no longer than that takes. */
  async #takeIfDue(held: AbortSignal): Promise<Generation | undefined> {
    const { activity, config, logger } = this.#replica;
    await using store = await this.#connection.openStore();
    // Somebody may have taken one by hand meanwhile.
    const [newest] = await generationsOf(config, store).list(held);
    if (!await this.#isDue(newest, held)) return newest;
    this.#isRequested = false;
    try {
      const startMs = performance.now();
      const taken = await saveNow(config, this.#connection, store, { signal: held, logger });
      activity.onTime("snapshot_seconds", (performance.now() - startMs) / 1000);
      this.#backoff.reset();
      return taken;
    } catch (error) {
      this.#isRequested = true; // Whoever has asked for it still waits.
      throw error;
    }
  }

  async #isDue(newest: Generation | undefined, signal: AbortSignal): Promise<boolean> {
    if (this.#isRequested || newest === undefined) return true;
    const { config: { snapshot, replicationLog }, schema, database } = this.#replica;
    // One from the future was taken by a clock that is wrong.
    if (snapshot.interval > 0 && Math.abs(Date.now() - newest.timeMs) >= snapshot.interval) return true;
    const positions = await schema.read(() => readPositions(database), signal);
    return hasMovedOn(positions, newest.positions, snapshotThreshold(replicationLog));
  }
}

/** How many messages a stream may move on before the next snapshot: half of what it keeps, or less with many shards. */
export function snapshotThreshold({ maxEntries, shards }: Config["replicationLog"]): number {
  return Math.max(1, Math.floor(Math.min(maxEntries / shards, maxEntries / 2)));
}

/** Whether any stream has at least so many messages more than before. */
export function hasMovedOn(
  positions: readonly Position[],
  before: readonly Position[],
  threshold: number,
): boolean {
  return positions.some(({ stream, created, sequence }) => {
    const then = before.find((position) => position.stream === stream && position.created === created);
    return sequence - (then?.sequence ?? 0) >= threshold;
  });
}
