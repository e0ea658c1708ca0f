/** Hears of loops that have ended though nobody asked them to. */
export interface LoopListener {
  noteDead(loop: string): void;
}

/** Loops that stand and fall together: when one fails the others are stopped, and its error is that of all. */
export class LoopGroup {
  /** Asks all of them to end. */
  readonly signal: AbortSignal;
  readonly #stop = new AbortController();
  readonly #listener: LoopListener;

  constructor(asked: AbortSignal, listener: LoopListener) {
    this.signal = AbortSignal.any([asked, this.#stop.signal]);
    this.#listener = listener;
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Resolves when all of these have ended; those that are not wanted are undefined. May be called by one of them in turn. */
  async untilOneFails(loops: Readonly<Record<string, Promise<void> | undefined>>): Promise<void> {
    const wanted = Object.entries(loops).filter(([, loop]) => loop !== undefined);
    const ended = wanted.map(async ([name, loop]) => {
      try {
        await loop;
      } catch (error) {
        if (!this.signal.aborted) this.#listener.noteDead(name);
        this.stop();
        throw error;
      }
      if (!this.signal.aborted) this.#listener.noteDead(name);
    });
    const failed = (await Promise.allSettled(ended)).filter((result) => result.status === "rejected");
    const failure = failed.find(({ reason }) => reason !== this.signal.reason);
    if (failure) throw failure.reason;
  }
}
