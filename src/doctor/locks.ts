import { Database } from "../sqlite/database.ts";
import { durationText } from "../lib/quantities.ts";
import { type Check, fail, type Finding, ok } from "./check.ts";
import type { Patient } from "./patient.ts";
import { describeProcess, findOpenFiles } from "./processes.ts";

/** How long a writer may reasonably hold the database. */
const PATIENCE_MS = 5_000;

/**
 * Whether a writer gets its turn. The lock is taken and given back at once, as any application does; the reading
 * connection stays open meanwhile, so that closing this one leaves the WAL as it is.
 */
export const locks: Check = {
  name: "locks",
  limitMs: PATIENCE_MS * 2,
  run: async (patient, signal) => {
    if (patient.databaseFailure?.code === "DATABASE_LOCKED") return judgeHeld(patient, "everybody out");
    using writer = Database.open(patient.database.path);
    const startMs = performance.now();
    const limit = AbortSignal.timeout(PATIENCE_MS);
    try {
      await writer.write(() => undefined, AbortSignal.any([signal, limit]));
    } catch (error) {
      if (!limit.aborted || signal.aborted) throw error;
      return judgeHeld(patient, "all other writers out");
    }
    const tookMs = performance.now() - startMs;
    return ok(
      tookMs < 100
        ? "A writer gets its turn at once"
        : `A writer gets its turn after ${durationText(tookMs)}`,
      holders(patient),
    );
  },
};

function judgeHeld(patient: Patient, whom: string): Finding {
  return fail(
    `Another process has kept ${whom} for more than ${durationText(PATIENCE_MS)}`,
    "Find its open transaction and end it; use WAL mode and short transactions.",
    { details: holders(patient) },
  );
}

/** Who has the database open: one of them holds the lock. */
function holders({ dbPath }: Patient): string[] {
  const path = realPath(dbPath);
  try {
    const open = findOpenFiles((target) => target === path) ?? [];
    return [...new Set(open.map(describeProcess))].map((process) => `${process} has it open`);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return [`Who has it open: lsof ${path}`];
    throw error;
  }
}

function realPath(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    return path; // Not there any more.
  }
}
