import { type LockHolder, lockHolder } from "../capture/process_lock.ts";
import { DatabaseError, messageOf } from "../lib/errors.ts";
import { pause, sleep } from "../lib/sleep.ts";

/** How often a node looks whether it is asked to stop: a read of a file that is not there. */
const LOOK_INTERVAL_MS = 1_000;
/** How long a node may take to drain and stop, the server that it runs included. */
const STOP_TIMEOUT_MS = 30_000;
const POLL_MS = 50;

/**
 * The running node of a database is asked to stop by a file beside the database, not by a signal: the process id of a node
 * that has crashed may be a stranger's by now, that of a node in another container always is, and an executable with
 * locked permissions may send none. It holds the instance that is meant: what is left of one means nobody.
 */
export function stopRequestPath(databasePath: string): string {
  return `${databasePath}-harmonylite.stop`;
}

/** Looks until the signal is aborted, and calls back when this holder of the lock is asked to stop. */
export async function followStopRequests(
  databasePath: string,
  { holder, onRequest, signal }: {
    readonly holder: LockHolder;
    readonly onRequest: () => void;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  while (!signal.aborted) {
    if (readRequest(databasePath) === holder.instance) {
      removeRequest(databasePath); // The one who asks takes it for an answer.
      return onRequest();
    }
    await pause(LOOK_INTERVAL_MS, signal);
  }
}

/** A process that was asked to stop, and has. */
export interface Stopped {
  /** Undefined when it had not told. */
  readonly process: number | undefined;
}

/**
 * Asks the process that works on a database to drain and stop, and waits until it has given the database up. Undefined when
 * there is none. One that is started anew meanwhile is left alone.
 * Throws a DatabaseError with code STOP_TIMEOUT when it takes too long.
 */
export async function stopNode(
  databasePath: string,
  { signal, onAsk, timeoutMs = STOP_TIMEOUT_MS }: {
    readonly signal: AbortSignal;
    /** Hears whom it asks. */
    readonly onAsk?: (holder: Partial<LockHolder>) => void;
    readonly timeoutMs?: number;
  },
): Promise<Stopped | undefined> {
  const deadline = performance.now() + timeoutMs;
  let asked: Partial<LockHolder> | undefined;
  try {
    for (;;) {
      const holder = lockHolder(databasePath);
      if (holder === undefined) return asked && { process: asked.process };
      if (holder.instance !== undefined && holder.instance !== asked?.instance) {
        const hasObeyed = asked !== undefined && readRequest(databasePath) === undefined;
        if (hasObeyed) return { process: asked?.process };
        writeRequest(databasePath, holder.instance);
        asked = holder;
        onAsk?.(holder);
      }
      if (performance.now() > deadline) throw notStopped(databasePath, holder, timeoutMs);
      await sleep(POLL_MS, signal);
    }
  } finally {
    if (asked) removeRequest(databasePath);
  }
}

function notStopped(
  databasePath: string,
  { process }: Partial<LockHolder>,
  timeoutMs: number,
): DatabaseError {
  const who = process === undefined ? "the process" : `process ${process}`;
  return new DatabaseError(
    "STOP_TIMEOUT",
    `Cannot stop ${who} on "${databasePath}": it has not ended within ${timeoutMs / 1000} s`,
    {
      hint:
        "Its log says what it waits for. It may be killed: what is captured is sent after the next start.",
    },
  );
}

/** Undefined when there is none for us: one that this user may not read is none either. */
function readRequest(databasePath: string): string | undefined {
  try {
    return Deno.readTextFileSync(stopRequestPath(databasePath)).trim();
  } catch (error) {
    if (isNoneForUs(error)) return undefined;
    throw error;
  }
}

/** Readable by all, whatever our umask, as the node may run under another user; there is no secret in it. */
function writeRequest(databasePath: string, instance: string): void {
  const path = stopRequestPath(databasePath);
  const temporary = `${path}.${Deno.pid}.tmp`;
  try {
    Deno.writeTextFileSync(temporary, `${instance}\n`);
    if (Deno.build.os !== "windows") Deno.chmodSync(temporary, 0o644);
    Deno.renameSync(temporary, path);
  } catch (cause) {
    throw new DatabaseError("STOP_UNUSABLE", `Cannot write "${path}": ${messageOf(cause)}`, {
      cause,
      hint: "Stop the node as the user that runs it, or send its process SIGTERM.",
    });
  }
}

/** Both sides do: in a folder where only owners may remove files, one of them cannot. */
function removeRequest(databasePath: string): void {
  try {
    Deno.removeSync(stopRequestPath(databasePath));
  } catch (error) {
    if (!isNoneForUs(error)) throw error;
  }
}

function isNoneForUs(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied;
}
