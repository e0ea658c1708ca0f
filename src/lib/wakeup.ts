import { sleep } from "./sleep.ts";

/** A timer that is set for longer fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Lets one loop sleep until there is something to do. What is notified while nobody waits is kept for the next wait. */
export class Wakeup {
  #notified = false;
  #wake: AbortController | undefined;

  notify(): void {
    this.#notified = true;
    this.#wake?.abort();
  }

  /** Returns when notified, after `ms` milliseconds (0: never), or when the signal is aborted. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#notified && !signal.aborted) {
      this.#wake = new AbortController();
      // Both end the sleep by rejecting it, and both just mean: look again.
      await sleep(ms || LONGEST_TIMER_MS, AbortSignal.any([signal, this.#wake.signal])).catch(() => {});
      this.#wake = undefined;
    }
    this.#notified = false;
  }
}
