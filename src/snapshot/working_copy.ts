import { ProcessLock } from "../capture/process_lock.ts";
import { DatabaseError } from "../lib/errors.ts";
import { unlessAbsent } from "../lib/files.ts";
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
export class WorkingCopy implements AsyncDisposable {
  readonly path: string;
  readonly #lock: ProcessLock;

  private constructor(path: string, lock: ProcessLock) {
    this.path = path;
    this.#lock = lock;
  }

  /** Waits while another process uses the place. */
  static async reserve(databasePath: string, signal: AbortSignal): Promise<WorkingCopy> {
    const path = workingCopyPath(databasePath);
    const copy = new WorkingCopy(path, await acquire(path, signal));
    try {
      await copy.clear();
      return copy;
    } catch (error) {
      copy.#lock[Symbol.dispose]();
      throw error;
    }
  }

  /** Begins anew, with an empty file. */
  async clear(): Promise<void> {
    await this.#remove();
    Deno.openSync(this.path, { write: true, createNew: true, mode: 0o600 }).close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remove();
    this.#lock[Symbol.dispose]();
  }

  /** Not in one go with other work: it takes the system most of a second for each gigabyte. */
  async #remove(): Promise<void> {
    for (const suffix of SUFFIXES) {
      await Deno.remove(this.path + suffix).catch(unlessAbsent);
    }
  }
}

async function acquire(path: string, signal: AbortSignal): Promise<ProcessLock> {
  for (;;) {
    try {
      return ProcessLock.acquire(path, { passing: true });
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.code !== "DATABASE_IN_USE") throw error;
    }
    await sleep(LOCK_POLL_MS, signal);
  }
}
