import { messageOf } from "../lib/errors.ts";
import { pause } from "../lib/sleep.ts";
import type { Logger } from "../observe/logger.ts";
import { FileEvents, hasPreparedFileEvents, provesHarmless } from "./file_events.ts";

/** How often a database is looked at where its files cannot be watched: a compromise between lag and an idle machine's CPU. */
const POLL_MS = 20;

/**
 * After an event the database is looked at again after 1, 2, 4 … ms, up to this. The event is that of the write to the log;
 * with `synchronous = FULL`, SQLite's default, a sync follows that takes milliseconds, and only then, without an event, the
 * commit becomes visible.
 */
const LAST_LOOK_MS = 256;

/** Tells when another process may have written to a database. To be opened before this process opens the database. */
export class Watcher implements Disposable {
  readonly #events: FileEvents | undefined;

  private constructor(events: FileEvents | undefined) {
    this.#events = events;
  }

  /** Where file events cannot be had without harm (no watches left, another system), it polls, and says so. */
  static async open(databasePath: string, logger: Logger): Promise<Watcher> {
    try {
      if (hasPreparedFileEvents(databasePath) || await provesHarmless()) {
        return new Watcher(FileEvents.open(databasePath));
      }
      logger.warn("Cannot watch the database files on this system, polling instead", { everyMs: POLL_MS });
    } catch (error) {
      logger.warn("Cannot watch the database files, polling instead", {
        everyMs: POLL_MS,
        reason: messageOf(error),
      });
    }
    return new Watcher(undefined);
  }

  /** Notifies until the signal is aborted. */
  async run({ notify, signal }: { notify: () => void; signal: AbortSignal }): Promise<void> {
    if (!this.#events) return await poll(notify, signal);
    const close = (): void => this[Symbol.dispose]();
    if (signal.aborted) return;
    signal.addEventListener("abort", close, { once: true });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const notifyAgain = (nextMs: number): void => {
      notify();
      clearTimeout(timer);
      timer = nextMs <= LAST_LOOK_MS ? setTimeout(notifyAgain, nextMs, nextMs * 2) : undefined;
    };
    for await (const _ of this.#events) notifyAgain(1);
    clearTimeout(timer);
  }

  [Symbol.dispose](): void {
    this.#events?.[Symbol.dispose]();
  }
}

async function poll(notify: () => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    notify();
    await pause(POLL_MS, signal);
  }
}
