import type { TakeTime } from "../observe/metric_table.ts";

/** What a node has done since its start. Times are Unix milliseconds. */
export class Activity {
  readonly startedAtMs: number;
  /** Told how long things take; nobody unless metrics are served. */
  onTime: TakeTime = () => {};
  #published = { changes: 0, lastAtMs: undefined as number | undefined };
  #appliedAtMs: number | undefined;

  constructor(startedAtMs: number) {
    this.startedAtMs = startedAtMs;
  }

  get published(): { readonly changes: number; readonly lastAtMs: number | undefined } {
    return this.#published;
  }

  get appliedAtMs(): number | undefined {
    return this.#appliedAtMs;
  }

  /** When anything was done last. */
  get lastAtMs(): number {
    return Math.max(this.startedAtMs, this.#published.lastAtMs ?? 0, this.#appliedAtMs ?? 0);
  }

  /** A batch of so many changes is acknowledged and marked, which took `ms`. */
  notePublished(changes: number, ms: number): void {
    this.#published = { changes: this.#published.changes + changes, lastAtMs: Date.now() };
    this.onTime("publish_seconds", ms / 1000);
  }

  /** A transaction took `ms`; the last message in it was stored by its stream at `timeNs`. */
  noteApplied({ ms, timeNs }: { readonly ms: number; readonly timeNs: bigint }): void {
    const now = this.#appliedAtMs = Date.now();
    this.onTime("apply_seconds", ms / 1000);
    this.onTime("replication_seconds", Math.max(0, now - Number(timeNs / 1_000_000n)) / 1000);
  }
}
