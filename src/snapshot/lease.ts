import { StreamError } from "../lib/errors.ts";
import { sameBytes } from "../lib/same_bytes.ts";
import { pause } from "../lib/sleep.ts";
import type { KeyValueStore } from "../stream/key_value.ts";

/** One entry for each thing that one process of a cluster does at a time. The Go original has the bucket and the leader too. */
export const LEASE_BUCKET = "e-harmonylite";
/** Who takes the periodic snapshots. */
export const LEADER = "snapshot-leader";
/** Who changes what the store holds. */
export const WRITER = "snapshot-writer";

export interface LeaseOptions {
  readonly store: KeyValueStore;
  readonly key: string;
  /** For people who look at the entry. */
  readonly holder: Readonly<Record<string, string | number>>;
  /** A holder that has died is replaced within this time, milliseconds. */
  readonly ttlMs: number;
  /** Milliseconds since whenever; never goes back. */
  readonly now: () => number;
  /** False while this process leaves it to others. */
  readonly isWanted?: () => boolean;
  /** Told of each attempt that failed; the next one follows. */
  readonly onFailure?: (error: StreamError) => void;
}

/**
 * What one process of a cluster has at a time: an entry that its holder replaces again and again. Nobody compares clocks: the
 * others watch whether it changes, each by its own clock, and replace it if it does not. A holder counts itself as none as
 * soon as one of them may.
 */
export class Lease {
  readonly #options: LeaseOptions;
  /** What the entry is while this process has it; no other has the same. */
  readonly #entry: Uint8Array;
  /** How often the holder renews it, and the others look: so often that one look may fail. */
  readonly #intervalMs: number;
  /** How long an entry that does not change is left alone. With the time until it is first seen this is the whole of `ttlMs`. */
  readonly #patienceMs: number;
  /** The entry as it was seen last, and since when it is so. */
  #seen = { revision: -1, atMs: 0 };
  /** Undefined while this process does not have it. */
  #held:
    | { readonly revision: number; readonly renewedMs: number; readonly lost: AbortController }
    | undefined;
  #acquired = Promise.withResolvers<AbortSignal>();

  constructor(options: LeaseOptions) {
    this.#options = options;
    const entry = { ...options.holder, instance: crypto.randomUUID() };
    this.#entry = new TextEncoder().encode(JSON.stringify(entry));
    this.#intervalMs = options.ttlMs / 6;
    this.#patienceMs = options.ttlMs * 2 / 3;
  }

  /** Whether this process has it at this moment. */
  get isHeld(): boolean {
    return this.#held !== undefined && this.#options.now() - this.#held.renewedMs < this.#patienceMs;
  }

  /** Resolves as soon as this process has it, with a signal that is aborted when it has it no more. */
  get acquired(): Promise<AbortSignal> {
    return this.#acquired.promise;
  }

  /** Tries to get it and keeps it, until the signal is aborted; then it is free for others. */
  async run({ signal }: { signal: AbortSignal }): Promise<void> {
    while (!signal.aborted) {
      await this.#attempt(signal);
      await pause(this.#pauseMs(), signal);
    }
    await this.#release();
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    if (this.#options.isWanted?.() === false) return await this.#release();
    const limit = AbortSignal.timeout(this.#intervalMs * 2);
    try {
      await this.#look(AbortSignal.any([signal, limit]));
    } catch (error) {
      if (error instanceof StreamError) this.#options.onFailure?.(error);
      else if (!signal.aborted && !limit.aborted) throw error;
    }
    if (this.#held && !this.isHeld) this.#lose();
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { store, key, now } = this.#options;
    if (this.#held && await this.#replace(this.#held.revision, signal)) return;
    const { value, revision } = await store.entry(key, signal);
    if (revision !== this.#seen.revision) this.#seen = { revision, atMs: now() };
    // It may be ours under another revision: the answer to a renewal was lost.
    const isFree = value === undefined || sameBytes(value, this.#entry);
    if (isFree || now() - this.#seen.atMs >= this.#patienceMs) await this.#replace(revision, signal);
    else this.#lose();
  }

  /** False when somebody else was faster. */
  async #replace(before: number, signal: AbortSignal): Promise<boolean> {
    const { store, key, now } = this.#options;
    // The time before: others may see the entry as soon as it is stored.
    const renewedMs = now();
    const revision = await store.replace(key, this.#entry, before, signal);
    if (revision === undefined) return false;
    const isNew = this.#held === undefined;
    const lost = this.#held?.lost ?? new AbortController();
    this.#held = { revision, renewedMs, lost };
    if (isNew) this.#acquired.resolve(lost.signal);
    return true;
  }

  #lose(): void {
    if (!this.#held) return;
    this.#held.lost.abort(leaseLost(this.#options.key));
    this.#held = undefined;
    this.#acquired = Promise.withResolvers();
  }

  async #release(): Promise<void> {
    if (!this.#held) return;
    const { revision } = this.#held;
    this.#lose();
    const { store, key } = this.#options;
    try {
      await store.replace(key, new Uint8Array(), revision, AbortSignal.timeout(this.#intervalMs));
    } catch {
      // Then the others wait until they find that it does not change.
    }
  }

  #pauseMs(): number {
    if (this.#held) return this.#intervalMs;
    const leftMs = this.#seen.atMs + this.#patienceMs - this.#options.now();
    return leftMs > 0 ? Math.min(this.#intervalMs, leftMs) : this.#intervalMs;
  }
}

/** The node whose process has a lease, in decimal, or had it until a moment ago; undefined when nobody has. Rejects with a StreamError. */
export async function holderOf(
  store: KeyValueStore,
  key: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { value } = await store.entry(key, signal);
  try {
    return JSON.parse(new TextDecoder().decode(value)).node;
  } catch {
    return undefined; // Given back, or by a program that says nothing of itself.
  }
}

/**
 * Runs `work` while this process has the lease, which is waited for; `work` is aborted when it is lost. Rejects with a
 * StreamError when the lease is refused for good.
 */
export async function withLease<T>(
  options: LeaseOptions,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const refused = Promise.withResolvers<never>();
  const onFailure = (error: StreamError): void => error.transient ? undefined : refused.reject(error);
  const lease = new Lease({ ...options, onFailure });
  const done = new AbortController();
  const running = lease.run({ signal: AbortSignal.any([signal, done.signal]) });
  try {
    const lost = await Promise.race([lease.acquired, refused.promise, running]);
    signal.throwIfAborted();
    return await work(AbortSignal.any([signal, lost as AbortSignal]));
  } finally {
    refused.promise.catch(() => undefined); // It may come too late to matter.
    done.abort();
    await running;
  }
}

function leaseLost(key: string): StreamError {
  const problem = "it was not renewed in time, or another process has taken it";
  return new StreamError("LEASE_LOST", `Cannot keep the lease "${key}": ${problem}`, { transient: true });
}
