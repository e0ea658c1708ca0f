import type { Io } from "./io.ts";

const WIDTH = 30;
const FRAMES_MS = 100;

/** One line on a terminal that is drawn again and again; nothing anywhere else. */
export class ProgressBar implements Disposable {
  readonly #out: Io["stderr"];
  readonly #isTerminal: boolean;
  readonly #now: () => number;
  #drawn: { readonly what: string; readonly atMs: number } | undefined;

  constructor(out: Io["stderr"], isTerminal: boolean, now: () => number = Date.now) {
    this.#out = out;
    this.#isTerminal = isTerminal;
    this.#now = now;
  }

  /** `what` is being done, and how much of it has been. */
  show(what: string, { done, total }: { readonly done: number; readonly total: number }): void {
    if (!this.#isTerminal) return;
    const isNew = this.#drawn?.what !== what;
    if (!isNew && done < total && this.#now() - this.#drawn!.atMs < FRAMES_MS) return;
    this.#drawn = { what, atMs: this.#now() };
    const part = total === 0 ? 1 : Math.min(1, done / total);
    const bar = "█".repeat(Math.round(part * WIDTH)).padEnd(WIDTH, "░");
    this.#out.write(`\r\x1b[K${what.padEnd(12)}${bar} ${String(Math.floor(part * 100)).padStart(3)} %`);
  }

  /** Leaves an empty line. */
  [Symbol.dispose](): void {
    if (this.#drawn) this.#out.write("\r\x1b[K");
    this.#drawn = undefined;
  }
}
