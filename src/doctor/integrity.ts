import { yieldToEventLoop } from "../lib/sleep.ts";
import { bytesText, countText, firstOf } from "../lib/quantities.ts";
import { isCorrupt, isUnpreparable } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { type Check, fail, ok, skipped } from "./check.ts";
import type { Patient } from "./patient.ts";

/** A larger database is looked at without comparing indexes with their tables. */
const MAX_THOROUGH_BYTES = 64 << 20;
/** A still larger one is left alone: reading a table cannot be interrupted, and with a rollback journal writers wait. */
const MAX_CHECKED_BYTES = 4 * 2 ** 30;
const MAX_FAULTS = 10;

/** Whether the file is whole: one table after the other, so that nobody waits for long. */
export const integrity: Check = {
  name: "integrity",
  limitMs: 60_000,
  run: async (patient, signal) => {
    try {
      return await checkTables(patient, signal);
    } catch (error) {
      if (isCorrupt(error)) return broken(["database disk image is malformed"]);
      throw error;
    }
  },
};

async function checkTables(patient: Patient, signal: AbortSignal): Promise<ReturnType<typeof ok>> {
  const size = await patient.read(
    (database) => database.count("PRAGMA page_count") * database.count("PRAGMA page_size"),
    signal,
  );
  if (size > MAX_CHECKED_BYTES) {
    return skipped(`the database has ${bytesText(size)}: run PRAGMA integrity_check when nobody writes`);
  }
  const pragma = size > MAX_THOROUGH_BYTES ? "quick_check" : "integrity_check";
  const tables = await patient.read(
    (database) =>
      database.all("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0").map(([name]) =>
        String(name)
      ),
    signal,
  );
  const faults: string[] = [];
  const unread: string[] = [];
  for (const table of ["sqlite_schema", ...tables]) {
    await yieldToEventLoop();
    signal.throwIfAborted();
    try {
      const lines = await patient.read(
        (database) => database.prepare(`PRAGMA ${pragma}(${quote(table)})`).all() as unknown as unknown[][],
        signal,
      );
      faults.push(
        ...lines.map(([line]) => String(line)).filter((line) => line !== "ok").map((line) =>
          `${table}: ${line}`
        ),
      );
    } catch (error) {
      if (!isUnpreparable(error)) throw error;
      unread.push(`${table}: not looked at, as it needs what only its application has`);
    }
  }
  if (faults.length > 0) return broken(faults);
  return ok(`${countText(tables.length, "table")} whole, ${bytesText(size)}`, unread);
}

function broken(faults: readonly string[]): ReturnType<typeof fail> {
  return fail(
    "The database is damaged",
    "Stop application and node, move the file with its -wal away, and start the node: it restores the newest snapshot.",
    { details: firstOf(faults, MAX_FAULTS) },
  );
}
