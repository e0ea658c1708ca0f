import { DatabaseError, HarmonyLiteError } from "../lib/errors.ts";
import { removeIfThere, statIfThere } from "../lib/files.ts";
import type { Generations, TransferOptions } from "../snapshot/generations.ts";
import type { Generation } from "../snapshot/manifest.ts";
import { SnapshotError } from "../snapshot/snapshot_error.ts";
import { Database } from "../sqlite/database.ts";

export interface FetchOptions extends TransferOptions {
  /** The file to write. */
  readonly output: string;
  /** Write over a file that exists. */
  readonly force: boolean;
  /** Must never be written. */
  readonly live: string;
  /** Whether it must open as a sound database, too. */
  readonly check: boolean;
  /** Is done to the file before it appears. */
  readonly finish?: ((path: string) => Promise<void>) | undefined;
}

/** Chooses by number, 1 is the newest, or by name. */
export function chooseGeneration(generations: readonly Generation[], wanted: string): Generation {
  const found = /^\d{1,6}$/.test(wanted)
    ? generations[Number(wanted) - 1]
    : generations.find(({ name }) => name === wanted);
  if (found !== undefined) return found;
  throw new SnapshotError(
    "SNAPSHOT_MISSING",
    `Cannot find snapshot "${wanted}": ${generations.length} are kept`,
    {
      hint: "`harmonylite snapshot list` shows their numbers and names.",
    },
  );
}

/** Writes a snapshot to a file, which appears when it is whole. */
export async function fetchTo(
  generations: Generations,
  generation: Generation,
  options: FetchOptions,
): Promise<void> {
  const { output, check, finish } = options;
  requireFree(options);
  const part = `${output}-harmonylite.part`;
  removeIfThere(part);
  await generations.fetch(generation, part, options);
  try {
    if (check) requireSound(part);
    await finish?.(part);
    // Looked at again: it took a while.
    requireFree(options);
    await Deno.rename(part, output);
  } catch (error) {
    for (const suffix of ["", "-wal", "-shm"]) removeIfThere(part + suffix);
    throw error;
  }
}

function requireFree({ output, force, live }: FetchOptions): void {
  const there = statIfThere(output);
  const database = statIfThere(live);
  if (there && database && there.ino === database.ino && there.dev === database.dev) {
    throw refuse(
      output,
      "it is the database of this node",
      "Name another file: a running node restores by itself.",
    );
  }
  // SQLite would put what it finds there into the new file.
  const left = ["-wal", "-journal"].map((suffix) => output + suffix).find(statIfThere);
  if (left !== undefined) {
    throw refuse(
      output,
      `"${left}" is there`,
      "An application has that database open, or died in it: name another file.",
    );
  }
  if (there && !force) {
    throw refuse(output, "there is such a file already", "Name another file, or write over it with --force.");
  }
}

function requireSound(path: string): void {
  using database = Database.open(path);
  const verdict = database.value("PRAGMA quick_check(1)");
  if (verdict === "ok") return;
  throw new DatabaseError(
    "SNAPSHOT_UNSOUND",
    `Cannot restore: the snapshot is a damaged database: ${verdict}`,
    {
      hint: "Use another one: `harmonylite snapshot list`.",
    },
  );
}

function refuse(output: string, why: string, hint: string): HarmonyLiteError {
  return new HarmonyLiteError("OUTPUT_TAKEN", `Cannot write "${output}": ${why}`, { hint });
}
