import { DatabaseError, messageOf } from "../lib/errors.ts";
import { giveToFolderOwner, statIfThere } from "../lib/files.ts";

/** Whoever looks whether a lock is held shares it for a moment: so often, and after such pauses, it is tried again. */
const ATTEMPTS = 100;
const PAUSE_MS = 10;

/** Who has the lock of a database. */
export interface LockHolder {
  readonly process: number;
  /** Drawn at random when the lock was taken: process ids come again. */
  readonly instance: string;
}

/**
 * The right to replicate a database: one process at a time. The system takes the lock back when its holder dies, however
 * it dies. The file says who holds it, for people and for other commands; it is never removed, because a process
 * that waits for it may have it open.
 */
export class ProcessLock implements Disposable {
  readonly holder: LockHolder;
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile, holder: LockHolder) {
    this.#file = file;
    this.holder = holder;
  }

  /**
   * Throws a DatabaseError with code DATABASE_IN_USE when another process has it, WRONG_USER as {@link requireUser} does.
   *
   * @param passing it is had for a moment, by a process that leaves nothing behind: by root, too
   */
  static acquire(databasePath: string, { passing = false } = {}): ProcessLock {
    const file = openLock(databasePath, { create: true, read: true, write: true, mode: 0o600 });
    try {
      if (!tryLock(file)) throw inUse(databasePath);
      if (passing) giveToFolderOwner(lockPath(databasePath));
      else requireUser(databasePath);
    } catch (error) {
      file.close();
      throw error;
    }
    const holder = { process: Deno.pid, instance: crypto.randomUUID() };
    file.truncateSync(0);
    file.writeSync(new TextEncoder().encode(`${holder.process} ${holder.instance}\n`));
    return new ProcessLock(file, holder);
  }

  [Symbol.dispose](): void {
    this.#file.truncateSync(0);
    this.#file.close();
  }
}

/**
 * Who has the lock of a database now; undefined when nobody does, whatever a process that was killed has left in the file.
 * What the holder has not written yet may be missing, or that of the one before.
 */
export function lockHolder(databasePath: string): Partial<LockHolder> | undefined {
  return isLocked(databasePath) ? readHolder(databasePath) : undefined;
}

export function lockPath(databasePath: string): string {
  return `${databasePath}-harmonylite.lock`;
}

/**
 * Throws a DatabaseError with code WRONG_USER when this is root and the database is that of a node which runs as another user:
 * that node could not use the files that root leaves beside the database, nor start any more.
 */
export function requireUser(databasePath: string): void {
  const owner = Deno.uid() === 0 ? ownerOf(lockPath(databasePath)) : undefined;
  if (owner === undefined || owner === 0) return;
  throw new DatabaseError(
    "WRONG_USER",
    `Cannot work on "${databasePath}" as root: its node runs as user ${owner}`,
    {
      hint:
        `Work as that user, who must own what lies beside the database: sudo -u '#${owner}' harmonylite …`,
    },
  );
}

function ownerOf(path: string): number | undefined {
  return statIfThere(path)?.uid ?? undefined;
}

function isLocked(databasePath: string): boolean {
  if (!statIfThere(lockPath(databasePath))) return false;
  using file = openLock(databasePath, { read: true });
  return !file.tryLockSync(false);
}

function openLock(databasePath: string, options: Deno.OpenOptions): Deno.FsFile {
  const path = lockPath(databasePath);
  try {
    return Deno.openSync(path, options);
  } catch (cause) {
    throw new DatabaseError("LOCK_UNUSABLE", `Cannot open the lock file "${path}": ${messageOf(cause)}`, {
      cause,
      hint: "Work as the user that runs the node, who must be able to write to the folder of the database.",
    });
  }
}

function tryLock(file: Deno.FsFile): boolean {
  for (let attempt = 1;; attempt++) {
    if (file.tryLockSync(true)) return true;
    const isHeld = !file.tryLockSync(false);
    if (isHeld || attempt === ATTEMPTS) return false;
    file.unlockSync();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
  }
}

function readHolder(databasePath: string): Partial<LockHolder> {
  const [id, instance] = Deno.readTextFileSync(lockPath(databasePath)).trim().split(" ");
  return { ...id ? { process: Number(id) } : {}, ...instance ? { instance } : {} };
}

function inUse(databasePath: string): DatabaseError {
  const { process } = readHolder(databasePath);
  const who = process === undefined ? "another process" : `process ${process}`;
  return new DatabaseError("DATABASE_IN_USE", `Cannot replicate "${databasePath}": ${who} does already`, {
    hint: "Stop that process first (`harmonylite stop`); one database has one node.",
  });
}
