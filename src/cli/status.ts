import { selfOf, StatusReader, type StatusReport } from "../agent/status_report.ts";
import { pause } from "../lib/sleep.ts";
import { loadChoice } from "./check.ts";
import type { Command } from "./command.ts";
import { EXIT, type Io } from "./io.ts";
import { renderStatus } from "./status_text.ts";

/** How often `--watch` looks. */
const WATCH_INTERVAL_MS = 1_000;
/** Clears a terminal and goes to its top. */
const CLEAR = "\x1b[H\x1b[2J\x1b[3J";

/** Tells how this node and all others are doing; with `watch` again and again until Ctrl-C. */
export async function status(
  { choice, watch, json }: Extract<Command, { name: "status" }>,
  { stdout, signal }: Io,
): Promise<number> {
  const { config } = await loadChoice(choice);
  await using reader = new StatusReader(config);
  const tell = (report: StatusReport): void => {
    const start = watch && !json && Deno.stdout.isTerminal() ? CLEAR : "";
    stdout.write(
      json ? `${JSON.stringify(toJson(report))}\n` : `${start}${renderStatus(report, Date.now())}`,
    );
  };
  if (watch) return await watchUntil(signal, async () => tell(await reader.read(signal)));
  const report = await reader.read(signal);
  tell(report);
  return exitOf(report);
}

/** To be interrupted is how this ends. */
async function watchUntil(signal: AbortSignal, look: () => Promise<void>): Promise<number> {
  while (!signal.aborted) {
    try {
      await look();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    await pause(WATCH_INTERVAL_MS, signal);
  }
  return EXIT.ok;
}

/** Failure: the node does not run. Incomplete: it does, but has not answered. */
function exitOf(report: StatusReport): number {
  if (selfOf(report)) return EXIT.ok;
  return report.isRunning ? EXIT.incomplete : EXIT.failure;
}

/** Clocks as texts: they exceed what a number in JSON holds. */
function toJson(report: StatusReport): unknown {
  const { facts, ...rest } = report;
  const positions = facts?.positions.map(({ time, ...position }) => ({ ...position, time: String(time) }));
  return { ...rest, self: selfOf(report) ?? null, facts: facts ? { ...facts, positions } : null };
}
