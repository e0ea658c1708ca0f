import { DatabaseError, messageOf } from "../lib/errors.ts";

/**
 * The right to replicate a database: one process at a time. The system takes the lock back when its holder dies, however
 * it dies. The file holds the holder's process id, for people and for `cleanup`; it is never removed, because a process
 * that waits for it may have it open.
 */
export class ProcessLock implements Disposable {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Throws a DatabaseError with code DATABASE_IN_USE when another process has it. */
  static acquire(databasePath: string): ProcessLock {
    const path = lockPath(databasePath);
    let file: Deno.FsFile;
    try {
      file = Deno.openSync(path, { create: true, read: true, write: true, mode: 0o600 });
    } catch (cause) {
      throw new DatabaseError("LOCK_UNUSABLE", `Cannot open the lock file "${path}": ${messageOf(cause)}`, {
        cause,
        hint: "This user must be able to write to the folder of the database.",
      });
    }
    if (!file.tryLockSync(true)) {
      file.close();
      throw inUse(databasePath);
    }
    file.truncateSync(0);
    file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
    return new ProcessLock(file);
  }

  /** Whether a process has it now. */
  static isHeld(databasePath: string): boolean {
    try {
      // Closing it gives back what was locked; shared, so that two who look do not take each other for a node.
      using file = Deno.openSync(lockPath(databasePath), { read: true });
      return !file.tryLockSync(false);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#file.truncateSync(0);
    this.#file.close();
  }
}

/** Process id of the node that has the lock of a database, as it wrote it; undefined when none did. */
export function lockHolder(databasePath: string): number | undefined {
  try {
    const id = Number(Deno.readTextFileSync(lockPath(databasePath)));
    return Number.isInteger(id) && id > 0 ? id : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

export function lockPath(databasePath: string): string {
  return `${databasePath}-harmonylite.lock`;
}

function inUse(databasePath: string): DatabaseError {
  const holder = lockHolder(databasePath);
  const who = holder === undefined ? "another process" : `process ${holder}`;
  return new DatabaseError("DATABASE_IN_USE", `Cannot replicate "${databasePath}": ${who} does already`, {
    hint: "Stop that process first; one database has one node.",
  });
}
