import { DatabaseError, messageOf } from "../lib/errors.ts";
import { renameIfThere, statIfThere } from "../lib/files.ts";
import { copyDatabase } from "../sqlite/backup.ts";
import { Database, isConstraint, isCorrupt, isUnpreparable } from "../sqlite/database.ts";

/** A larger file is not read from end to end at each start: some four seconds a gigabyte. */
const MAX_CHECKED_BYTES = 512 << 20;

/** Lines that a check says at most. */
const MAX_LINES = 1000;
/** What a check says of rows that break a constraint, which is the application's affair. */
const ABOUT_CONSTRAINTS = /^\S+ value in |^CHECK constraint failed in /;

/**
 * `missing`: there is no file. `empty`: it has no table, or no byte. `misindexed`: its rows are whole, its indexes are not.
 * `broken`: SQLite says that it is not whole. What is not a SQLite file at all, or is encrypted, is none of these: it is
 * never replaced.
 */
export type FileCondition = "sound" | "missing" | "empty" | "misindexed" | "broken";

/**
 * Judges a database file before anything is done with it. `isThorough`: its indexes, too, which takes about twice as long.
 * Throws a DatabaseError when it is no SQLite file.
 */
export async function judgeFile(
  path: string,
  { isThorough, signal }: { readonly isThorough: boolean; readonly signal: AbortSignal },
): Promise<FileCondition> {
  const size = statIfThere(path)?.size;
  if (size === undefined) return "missing";
  try {
    using database = Database.open(path, { readOnly: false });
    return await database.look(() => {
      if (database.count("SELECT count(*) FROM sqlite_schema") === 0) return "empty";
      if (size > MAX_CHECKED_BYTES) return "sound";
      if (!isFine(database, "quick_check")) return "broken";
      return !isThorough || isFine(database, "integrity_check") ? "sound" : "misindexed";
    }, signal);
  } catch (error) {
    if (isCorrupt(error)) return "broken";
    throw error;
  }
}

/** Where an index needs a function or a collation of the application's nothing can be said. */
function isFine(database: Database, check: "quick_check" | "integrity_check"): boolean {
  try {
    return database.all(`PRAGMA ${check}(${MAX_LINES})`)
      .every(([line]) => line === "ok" || ABOUT_CONSTRAINTS.test(String(line)));
  } catch (error) {
    if (isUnpreparable(error)) return true;
    throw error;
  }
}

/** False when rows contradict a UNIQUE index: then they are not whole either. */
export async function rebuildIndexes(path: string, signal: AbortSignal): Promise<boolean> {
  using database = Database.open(path);
  try {
    await database.write(() => database.run("REINDEX"), signal);
    return true;
  } catch (error) {
    if (isConstraint(error) || isCorrupt(error)) return false;
    throw error;
  }
}

/**
 * Puts a snapshot in the place of a database, by SQLite's own means: an application that has the file open goes on with
 * what is there then. A broken file is kept beside it; returns where. What a removed one has left beside its place (`-wal`,
 * `-journal`) SQLite itself throws away, as it opens an empty file there first.
 */
export async function replaceFile(
  path: string,
  snapshot: string,
  { condition, signal }: { readonly condition: FileCondition; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const aside = condition === "broken" ? moveAside(path) : undefined;
  if (aside !== undefined) createLike(path, aside);
  else if (condition === "missing") createByUmask(path);
  await copyDatabase(snapshot, path, { signal });
  return aside;
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

/** An empty file that is as open as another one: whoever could use the database can use the new one. */
function createLike(path: string, example: string): void {
  const { mode, uid, gid } = Deno.statSync(example);
  Deno.openSync(path, { write: true, createNew: true, mode: 0o600 }).close();
  try {
    if (uid !== null && gid !== null) Deno.chownSync(path, uid, gid);
  } catch (error) {
    // Only the superuser may give a file away; to anybody else the old one belonged already, or it had this group.
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
  }
  if (mode !== null) Deno.chmodSync(path, mode & 0o777);
}

/** As open as the umask lets files be: SQLite itself would never let a group write, to which the application may belong. */
function createByUmask(path: string): void {
  Deno.openSync(path, { write: true, create: true, mode: 0o666 }).close();
}
