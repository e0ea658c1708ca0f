import type { Patient } from "./patient.ts";

/** `skipped`: it could not be looked at, which says nothing about it. */
export type Verdict = "ok" | "warn" | "fail" | "skipped";

/** What a check found. */
export interface Finding {
  readonly verdict: Verdict;
  /** One sentence for a person, without a full stop. */
  readonly text: string;
  /** What to do, one sentence; undefined when nothing is to be done. */
  readonly advice?: string | undefined;
  /** What belongs to the text, one line each. */
  readonly details?: readonly string[];
  /** Puts it right without risk to anybody's data, and says what was done. */
  readonly fix?: (() => Promise<string>) | undefined;
}

/** One question about an installation. Looks, and changes nothing. */
export interface Check {
  /** Stable, for programs: `journal_mode`. */
  readonly name: string;
  /** How long it may take; default {@link DEFAULT_LIMIT_MS}. */
  readonly limitMs?: number;
  /** What it throws is a failure, an Unavailable a reason to skip it. The signal ends it. */
  readonly run: (patient: Patient, signal: AbortSignal) => Promise<Finding> | Finding;
}

export const DEFAULT_LIMIT_MS = 10_000;

type Rest = Omit<Finding, "verdict" | "text" | "advice">;

export function ok(text: string, details: readonly string[] = []): Finding {
  return { verdict: "ok", text, details };
}

export function warn(text: string, advice: string, rest: Rest = {}): Finding {
  return { verdict: "warn", text, advice, ...rest };
}

export function fail(text: string, advice: string, rest: Rest = {}): Finding {
  return { verdict: "fail", text, advice, ...rest };
}

export function skipped(reason: string): Finding {
  return { verdict: "skipped", text: reason };
}
