import { HarmonyLiteError, messageOf } from "../lib/errors.ts";
import { pause } from "../lib/sleep.ts";
import { type Check, DEFAULT_LIMIT_MS, fail, type Finding, skipped, type Verdict } from "./check.ts";
import { type Patient, Unavailable } from "./patient.ts";

/** A check that was made. */
export interface Result extends Finding {
  readonly name: string;
  /** What `--fix` has done; the rest was found after that. */
  readonly fixed: string | undefined;
  readonly tookMs: number;
}

export interface ExamineOptions {
  readonly signal: AbortSignal;
  /** Puts right what is safe to put right, and looks again. */
  readonly fix: boolean;
}

/** Makes the checks one after the other, each within its time. Rejects with the signal's reason when aborted, and with nothing else. */
export async function examine(
  patient: Patient,
  checks: readonly Check[],
  { signal, fix }: ExamineOptions,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const check of checks) {
    const startMs = performance.now();
    let finding = await runCheck(check, patient, signal);
    let fixed: string | undefined;
    if (fix && finding.fix) {
      fixed = await finding.fix().catch((error) => `Cannot be put right: ${messageOf(error)}`);
      finding = await runCheck(check, patient, signal);
    }
    results.push({ ...finding, name: check.name, fixed, tookMs: Math.round(performance.now() - startMs) });
  }
  return results;
}

/** The worst of all; what was skipped does not count. */
export function verdictOf(results: readonly Result[]): Exclude<Verdict, "skipped"> {
  const has = (verdict: Verdict): boolean => results.some((result) => result.verdict === verdict);
  return has("fail") ? "fail" : has("warn") ? "warn" : "ok";
}

async function runCheck(check: Check, patient: Patient, signal: AbortSignal): Promise<Finding> {
  signal.throwIfAborted();
  const limitMs = check.limitMs ?? DEFAULT_LIMIT_MS;
  const late = new AbortController();
  const over = new AbortController();
  const running = AbortSignal.any([signal, late.signal]);
  // A check that does not listen to its signal is left alone.
  const timer = pause(limitMs, AbortSignal.any([signal, over.signal])).then(() => {
    late.abort();
    return skipped(`it has taken longer than ${limitMs / 1000} s`);
  });
  const work = (async () => await check.run(patient, running))();
  const finding = await Promise.race([work.catch((error) => judge(error, running)), timer]);
  over.abort();
  signal.throwIfAborted();
  return finding ?? await timer;
}

/** Undefined for what a check ends with that was told to end. */
function judge(error: unknown, running: AbortSignal): Finding | undefined {
  if (error instanceof Unavailable) return skipped(error.message);
  if (running.aborted) return undefined;
  if (error instanceof Deno.errors.NotCapable) {
    return skipped(
      `this program is locked to its configuration: it ${
        messageOf(error).replace(/^Requires (.*?),.*$/s, "has no $1")
      }`,
    );
  }
  if (error instanceof HarmonyLiteError) {
    return fail(error.message, error.hint ?? "The log of the node may say more.");
  }
  return fail(
    `The check itself has failed: ${messageOf(error)}`,
    "Please report it, with `harmonylite doctor --bundle FILE.tar.gz`.",
  );
}
