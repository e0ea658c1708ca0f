import { DatabaseError, messageOf } from "../lib/errors.ts";
import { copyDatabase } from "../sqlite/backup.ts";
import { Database, isCorrupt } from "../sqlite/database.ts";

/** A larger file is not read from end to end at each start: some four seconds a gigabyte. */
const MAX_CHECKED_BYTES = 512 << 20;

/**
 * `missing`: there is no file. `empty`: it has no table, or no byte. `broken`: SQLite says that it is not whole. What is not
 * a SQLite file at all, or is encrypted, is none of these: it is never replaced.
 */
export type FileCondition = "sound" | "missing" | "empty" | "broken";

/** Judges a database file before anything is done with it. Throws a DatabaseError when it is no SQLite file. */
export async function judgeFile(path: string, signal: AbortSignal): Promise<FileCondition> {
  const size = sizeOf(path);
  if (size === undefined) return "missing";
  try {
    using database = Database.open(path, { readOnly: false });
    return await database.look(() => {
      if (database.count("SELECT count(*) FROM sqlite_schema") === 0) return "empty";
      if (size > MAX_CHECKED_BYTES) return "sound";
      return database.value("PRAGMA quick_check(1)") === "ok" ? "sound" : "broken";
    }, signal);
  } catch (error) {
    if (isCorrupt(error)) return "broken";
    throw error;
  }
}

function sizeOf(path: string): number | undefined {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Puts a snapshot in the place of a database, by SQLite's own means: an application that has the file open goes on with
 * what is there then. A broken file is kept beside it; returns where.
 */
export async function replaceFile(
  path: string,
  snapshot: string,
  { condition, signal }: { readonly condition: FileCondition; readonly signal: AbortSignal },
): Promise<string | undefined> {
  if (condition === "missing") removeLeftovers(path);
  const aside = condition === "broken" ? moveAside(path) : undefined;
  await copyDatabase(snapshot, path, { signal });
  return aside;
}

/** What a removed database has left behind would be replayed into the new one (tried). */
function removeLeftovers(path: string): void {
  for (const end of ["-wal", "-shm", "-journal"]) {
    try {
      Deno.removeSync(path + end);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** The broken file may be what an application still writes to: it keeps its bytes, under another name. */
function moveAside(path: string): string {
  const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const aside = `${path}-broken-${stamp}`;
  try {
    for (const end of ["-wal", "-shm", "-journal", ""]) renameIfThere(path + end, aside + end);
  } catch (cause) {
    throw new DatabaseError("FILE_NOT_MOVED", `Cannot keep the broken "${path}": ${messageOf(cause)}`, {
      cause,
      hint: "This user must be able to write to the folder of the database.",
    });
  }
  return aside;
}

function renameIfThere(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
