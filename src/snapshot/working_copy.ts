import { ProcessLock } from "../capture/process_lock.ts";
import { DatabaseError } from "../lib/errors.ts";
import { sleep } from "../lib/sleep.ts";

const LOCK_POLL_MS = 200;
/** The files that SQLite makes of a database. */
const SUFFIXES = ["", "-wal", "-shm", "-journal"];

/** Where the copy of a database lies that becomes a snapshot. */
export function workingCopyPath(databasePath: string): string {
  return `${databasePath}-harmonylite.snapshot`;
}

/**
 * A place beside a database for one copy of it, which only this user can read. It is removed when disposed; what a process
 * left there that was killed goes when the next one begins.
 */
export class WorkingCopy implements Disposable {
  readonly path: string;
  readonly #lock: ProcessLock;

  private constructor(path: string, lock: ProcessLock) {
    this.path = path;
    this.#lock = lock;
  }

  /** Waits while another process uses the place. */
  static async reserve(databasePath: string, signal: AbortSignal): Promise<WorkingCopy> {
    const path = workingCopyPath(databasePath);
    for (;;) {
      try {
        const copy = new WorkingCopy(path, ProcessLock.acquire(path));
        copy.clear();
        return copy;
      } catch (error) {
        if (!(error instanceof DatabaseError) || error.code !== "DATABASE_IN_USE") throw error;
      }
      await sleep(LOCK_POLL_MS, signal);
    }
  }

  /** Begins anew, with an empty file. */
  clear(): void {
    this.#remove();
    Deno.openSync(this.path, { write: true, createNew: true, mode: 0o600 }).close();
  }

  [Symbol.dispose](): void {
    this.#remove();
    this.#lock[Symbol.dispose]();
  }

  #remove(): void {
    for (const suffix of SUFFIXES) {
      try {
        Deno.removeSync(this.path + suffix);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }
}
