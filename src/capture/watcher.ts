import { basename, dirname } from "node:path";
import { messageOf } from "../lib/errors.ts";
import type { Wakeup } from "../lib/wakeup.ts";
import type { Logger } from "../observe/logger.ts";

/**
 * Notifies whenever a database file is written, until the signal is aborted. Where the system cannot watch files (a
 * network mount, no watches left), it says so once and polling has to do.
 */
export async function watchDatabase(
  path: string,
  wakeup: Wakeup,
  options: { signal: AbortSignal; logger: Logger },
): Promise<void> {
  const names = new Set(["", "-wal", "-journal"].map((suffix) => basename(path) + suffix));
  try {
    using watcher = Deno.watchFs(dirname(path), { recursive: false });
    const close = (): void => watcher.close();
    options.signal.addEventListener("abort", close, { once: true });
    for await (const event of watcher) {
      if (event.kind !== "access" && event.paths.some((changed) => names.has(basename(changed)))) {
        wakeup.notify();
      }
    }
    options.signal.removeEventListener("abort", close);
  } catch (error) {
    if (options.signal.aborted) return;
    options.logger.warn("Cannot watch the database files, polling for changes instead", {
      reason: messageOf(error),
    });
  }
}
