import { findAncestors } from "../ancestors.ts";

const ANCESTORS_INTERVAL_MS = 1_000;

/**
 * Aborts when the program is asked to end, or the command that runs it has ended. A second signal calls `hurry`:
 * whoever sends it does not want to wait.
 */
export function stopSignal(hurry: () => void): AbortSignal {
  const stopping = new AbortController();
  const stop = (): void => stopping.signal.aborted ? hurry() : stopping.abort();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) Deno.addSignalListener(signal, stop);
  const ancestors = findAncestors();
  Deno.unrefTimer(setInterval(() => {
    if (ancestors.ended()) stopping.abort();
  }, ANCESTORS_INTERVAL_MS));
  return stopping.signal;
}
