const realImmediate = globalThis.setImmediate;

interface Timer {
  readonly id: number;
  readonly owner: object | undefined;
  readonly dueMs: number;
  readonly fire: () => void;
}

/** The parts of the runtime that know a time; replaced while a simulation runs. */
const GLOBALS = ["setTimeout", "clearTimeout", "setImmediate"] as const;

/**
 * Time that passes only when it is told to. While one exists all timers of this program are in its hands, and `Date.now`
 * is its time: so nothing happens by itself, and the same calls in the same order give the same run.
 */
export class VirtualTime implements Disposable {
  #nowMs: number;
  #timers: Timer[] = [];
  #lastId = 0;
  #owner: object | undefined;
  readonly #restore: () => void;

  /** @param startMs Unix milliseconds */
  constructor(startMs: number) {
    this.#nowMs = startMs;
    this.#restore = this.#install();
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Runs `work` and everything that follows from it without waiting. Timers set meanwhile are the owner's. */
  async run(owner: object, work: () => void): Promise<void> {
    this.#owner = owner;
    work();
    // All that is ready runs before this: nothing here waits for anything outside of this program.
    await new Promise<void>((resolve) => void realImmediate(resolve));
    this.#owner = undefined;
  }

  /** Lets time pass, as when a machine was asleep: each timer that is due by then goes off once, late. */
  async pass(ms: number): Promise<void> {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.#nowMs)
      .sort((a, b) => a.dueMs - b.dueMs || a.id - b.id);
    for (const timer of due) {
      if (!this.#timers.includes(timer)) continue;
      this.#remove(timer.id);
      await this.run(timer.owner ?? this, timer.fire);
    }
  }

  /** The owner is dead: nothing of its goes off any more. */
  forget(owner: object): void {
    this.#timers = this.#timers.filter((timer) => timer.owner !== owner);
  }

  [Symbol.dispose](): void {
    this.#restore();
  }

  #install(): () => void {
    const target = globalThis as unknown as Record<string, unknown>;
    const before = GLOBALS.map((name) => target[name]);
    const dateNow = Date.now;
    target["setTimeout"] = (work: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): number =>
      this.#set(() => work(...args), ms);
    target["clearTimeout"] = (id: number): void => this.#remove(id);
    target["setImmediate"] = queueMicrotask;
    Date.now = () => this.#nowMs;
    return () => {
      GLOBALS.forEach((name, at) => target[name] = before[at]);
      Date.now = dateNow;
    };
  }

  #set(fire: () => void, ms: number): number {
    const id = ++this.#lastId;
    this.#timers.push({ id, owner: this.#owner, dueMs: this.#nowMs + ms, fire });
    return id;
  }

  #remove(id: number): void {
    this.#timers = this.#timers.filter((timer) => timer.id !== id);
  }
}
