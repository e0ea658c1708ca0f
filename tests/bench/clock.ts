/**
 * Time that processes of one machine can compare, to some microseconds. `Date.now()` counts whole milliseconds, and
 * `performance.now()` starts at zero in every process; so the second is tied to a tick of the first.
 */
export class SharedClock {
  readonly #offsetMs: number;

  /** Takes some milliseconds: it watches the clock of the system tick. */
  constructor() {
    // A tick that is noticed late, because another process had the core, only makes the offset smaller.
    this.#offsetMs = Math.max(...Array.from({ length: 5 }, offsetAtTick));
  }

  /** Unix milliseconds with fractions. */
  now(): number {
    return this.#offsetMs + performance.now();
  }
}

function offsetAtTick(): number {
  const before = Date.now();
  while (Date.now() === before);
  return Date.now() - performance.now();
}

const NEVER_NOTIFIED = new Int32Array(new SharedArrayBuffer(4));

/** Blocks the thread: timers of the event loop are whole milliseconds, and these processes have nothing else to do. */
export function pause(ms: number): void {
  Atomics.wait(NEVER_NOTIFIED, 0, 0, ms);
}
