import type { DatabaseSync } from "node:sqlite";
import { DatabaseError, messageOf } from "../lib/errors.ts";

/** How far a copy has come, in pages or bytes. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

export interface BackupOptions {
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What the thread is told to do. */
interface Task {
  readonly from: string;
  readonly to: string;
  /** One 32-bit integer; other than 0: stop. */
  readonly stop: SharedArrayBuffer;
}

/** What `backup()` tells; the type declarations leave it out. */
interface BackupProgress {
  readonly totalPages: number;
  readonly remainingPages: number;
}

/** What the thread tells. */
type News =
  | { readonly kind: "progress"; readonly progress: Progress }
  | { readonly kind: "ended" }
  | { readonly kind: "failed"; readonly reason: string };

/**
 * Copies a database by SQLite's backup API, while other processes write to it.
 *
 * `backup()` of Deno 2.9.6 holds the thread that calls it until it has ended, some four seconds a gigabyte: so it gets a
 * thread of its own.
 */
export async function copyDatabase(from: string, to: string, options: BackupOptions = {}): Promise<void> {
  const { onProgress, signal } = options;
  signal?.throwIfAborted();
  const stop = new SharedArrayBuffer(4);
  const onAbort = (): void => void Atomics.store(new Int32Array(stop), 0, 1);
  signal?.addEventListener("abort", onAbort, { once: true });
  const thread = new Worker(PROGRAM, { type: "module" });
  try {
    await resultOf(thread, { from, to, stop }, onProgress);
  } catch (error) {
    signal?.throwIfAborted();
    throw new DatabaseError("BACKUP_FAILED", `Cannot copy the database "${from}": ${messageOf(error)}`, {
      cause: error,
      hint:
        `Check that there is room for another copy of the database where "${to}" is, and the right to write there.`,
    });
  } finally {
    signal?.removeEventListener("abort", onAbort);
    thread.terminate();
  }
  signal?.throwIfAborted();
}

function resultOf(thread: Worker, task: Task, onProgress: BackupOptions["onProgress"]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  thread.onmessage = ({ data }: MessageEvent<News>): void => {
    if (data.kind === "progress") onProgress?.(data.progress);
    else if (data.kind === "failed") reject(new Error(data.reason));
    else resolve();
  };
  thread.onerror = (event): void => {
    event.preventDefault();
    reject(new Error(event.message));
  };
  thread.postMessage(task);
  return promise;
}

/** The text of one function, so that a compiled executable needs no further file: it must name nothing from outside. */
const PROGRAM = `data:text/javascript,${encodeURIComponent(`(${copyInThread})()`)}`;

function copyInThread(): void {
  /** Pages copied between two looks at whether to stop: some 10 ms. */
  const pagesAtOnce = 1024;
  /** Between two attempts to get a read lock: with a rollback journal a busy writer leaves short gaps only. */
  const lockPauseMs = 0.1;
  const lockTimeoutMs = 60_000;
  const thread = globalThis as unknown as {
    onmessage: (event: MessageEvent<Task>) => Promise<void>;
    postMessage: (news: News) => void;
  };
  thread.onmessage = async ({ data: { from, to, stop } }) => {
    const { backup, DatabaseSync } = await import("node:sqlite");
    const stopped = new Int32Array(stop);
    const requireGoing = (): void => {
      if (Atomics.load(stopped, 0) !== 0) throw new Error("it was stopped");
    };
    const onProgress = ({ totalPages: total, remainingPages }: BackupProgress): void => {
      requireGoing();
      thread.postMessage({ kind: "progress", progress: { done: total - remainingPages, total } });
    };
    /** One read transaction for all pages: else each write of another process makes the backup begin anew, and it never ends. */
    const beginReading = (database: DatabaseSync): void => {
      for (const start = performance.now();; Atomics.wait(stopped, 0, 0, lockPauseMs)) {
        requireGoing();
        try {
          return database.exec("BEGIN; SELECT count(*) FROM sqlite_schema");
        } catch (error) {
          if (performance.now() - start > lockTimeoutMs || !/locked|busy/.test(String(error))) throw error;
          if (database.isTransaction) database.exec("ROLLBACK");
        }
      }
    };
    let database: DatabaseSync | undefined;
    try {
      // 0 would mean the five seconds that are usual in Deno, with pauses that grow.
      database = new DatabaseSync(from, { readOnly: true, timeout: 1 });
      beginReading(database);
      // The type declarations leave out that it tells how many pages there were.
      const total = await backup(database, to, {
        rate: pagesAtOnce,
        progress: onProgress,
      }) as unknown as number;
      thread.postMessage({ kind: "progress", progress: { done: total, total } });
      thread.postMessage({ kind: "ended" });
    } catch (error) {
      thread.postMessage({ kind: "failed", reason: error instanceof Error ? error.message : String(error) });
    } finally {
      database?.close();
    }
  };
}
