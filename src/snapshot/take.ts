import { readPositions, STARTING_OVER } from "../apply/position.ts";
import { dropTriggers, installCapture } from "../capture/change_log.ts";
import { keepRowids } from "../capture/rowid_keeper.ts";
import { readClock } from "../capture/trigger_sql.ts";
import { oldestUnsent } from "../capture/unsent.ts";
import { HarmonyLiteError, messageOf } from "../lib/errors.ts";
import { sleep, yieldToEventLoop } from "../lib/sleep.ts";
import type { TableFilter } from "../schema/followed_tables.ts";
import { CONFLICT_LOG, QUARANTINE } from "../schema/names.ts";
import { listCapture } from "../schema/own_tables.ts";
import type { Progress } from "../sqlite/backup.ts";
import { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import type { Generation, SnapshotFacts } from "./manifest.ts";
import { SnapshotError } from "./snapshot_error.ts";
import { WorkingCopy } from "./working_copy.ts";

/** How long sending may stand still before a snapshot is given up, unless said. */
const SEND_TIMEOUT_MS = 60_000;
const SEND_POLL_MS = 250;
/** A copy that falls between a change of the schema and what follows from it is made anew, after a pause, as often. */
const COPY_ATTEMPTS = 10;
const COPY_PAUSE_MS = 500;

/** What is being done. */
export type TakePhase = "copying" | "sending" | "uploading";

export interface TakeOptions {
  /** A connection that nobody else uses meanwhile. */
  readonly database: Database;
  /** Which tables this node follows. */
  readonly filter: TableFilter;
  readonly node: bigint;
  /** Puts the finished file into the store; see `Generations.add`. */
  readonly add: (
    path: string,
    facts: SnapshotFacts,
    options: { readonly signal: AbortSignal; readonly onProgress: (progress: Progress) => void },
  ) => Promise<Generation>;
  readonly signal: AbortSignal;
  readonly onProgress?: ((phase: TakePhase, progress: Progress) => void) | undefined;
  /** Milliseconds. */
  readonly sendTimeoutMs?: number;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/**
 * Takes a snapshot of a database while applications write to it: a copy beside it, without what concerns this node alone.
 * Somebody has to send what is pending meanwhile.
 *
 * Rejects with a SnapshotError that begins with "Failed to create snapshot" or "Failed to upload snapshot", or with the
 * signal's reason. Nothing is left beside the database, and in the store the snapshots before are whole.
 */
export async function takeSnapshot(options: TakeOptions): Promise<Generation> {
  const { database, add, signal, onProgress } = options;
  await using copy = await during("create", signal, () => WorkingCopy.reserve(database.path, signal));
  const facts = await during("create", signal, () => makeCopy(copy, options));
  const told = (progress: Progress): void => onProgress?.("uploading", progress);
  return await during("upload", signal, () => add(copy.path, facts, { signal, onProgress: told }));
}

/** Names the step that failed, in the words that users look for. */
async function during<T>(step: "create" | "upload", signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    signal.throwIfAborted();
    const hint = cause instanceof HarmonyLiteError ? cause.hint : undefined;
    throw new SnapshotError("SNAPSHOT_NOT_TAKEN", `Failed to ${step} snapshot: ${messageOf(cause)}`, {
      cause,
      ...hint === undefined ? {} : { hint },
    });
  }
}

async function makeCopy(copy: WorkingCopy, options: TakeOptions): Promise<SnapshotFacts> {
  const { database, node, signal, now, onProgress } = options;
  for (let attempt = 0; attempt < COPY_ATTEMPTS; attempt++) {
    const timeMs = now();
    await database.backupTo(copy.path, { signal, onProgress: (each) => onProgress?.("copying", each) });
    using copied = Database.open(copy.path);
    // Nobody reads it before it is whole, and it is made anew when anything fails.
    copied.exec("PRAGMA synchronous = OFF");
    requireVersions(copied);
    const schema = await settledSchema(copied, options);
    if (schema !== undefined) {
      await untilSent(readClock(copied), options);
      await strip(copied, signal);
      return { timeMs, node, schema, positions: readPositions(copied) };
    }
    copied.close();
    await copy.clear();
    await sleep(COPY_PAUSE_MS, signal);
  }
  throw new SnapshotError("SCHEMA_UNSETTLED", "the triggers do not follow the schema", {
    hint:
      "Is the running node of the same version? Restart it. Else try again when the schema does not change.",
  });
}

/** While what a lost stream has held is being queued, rows have no versions, and the change log is no part of a snapshot. */
function requireVersions(copied: Database): void {
  const position = readPositions(copied).find(({ created }) => created === STARTING_OVER);
  if (!position) return;
  throw new SnapshotError(
    "STREAM_UNSETTLED",
    `stream "${position.stream}" was recreated, and this node is starting over`,
    { hint: "Try again when it has; the log of the running node says what it waits for." },
  );
}

/**
 * The hash of the schema. Undefined when a change of it has not been followed yet in what was copied: then not all is
 * captured, and what was renamed cannot be told any more once the triggers are gone.
 */
async function settledSchema(copied: Database, { filter, signal }: TakeOptions): Promise<string | undefined> {
  const { schema, changed, madeLogs } = await installCapture(copied, filter, signal);
  return changed.length > 0 || madeLogs ? undefined : schema.hash;
}

/**
 * A node that starts from the snapshot holds all rows in it, and nobody would ever send those again that are in no stream:
 * so they have to be there first.
 */
async function untilSent(clock: bigint, options: TakeOptions): Promise<void> {
  const { database, filter, signal, now, onProgress, sendTimeoutMs = SEND_TIMEOUT_MS } = options;
  let last: bigint | undefined;
  for (let movedAt = now();;) {
    const oldest = await database.look(() => oldestUnsent(database, filter, clock), signal);
    if (oldest === undefined) return;
    if (oldest !== last) [last, movedAt] = [oldest, now()];
    if (now() - movedAt > sendTimeoutMs) throw unsent(sendTimeoutMs);
    onProgress?.("sending", { done: 0, total: 1 });
    await sleep(SEND_POLL_MS, signal);
  }
}

function unsent(timeoutMs: number): SnapshotError {
  return new SnapshotError(
    "CHANGES_UNSENT",
    `changes that are in the copy are in no stream yet, and none was sent for ${timeoutMs / 1000} s`,
    {
      hint:
        "Check that NATS can be reached and has room; the log of the running node says what it waits for.",
    },
  );
}

/** Leaves the users' data and what tells how the streams go on from there. Freed pages are zeroed, so they compress. */
export async function strip(copied: Database, signal: AbortSignal): Promise<void> {
  copied.exec("PRAGMA secure_delete = ON");
  await copied.write(() => {
    dropTriggers(copied);
    keepRowids(copied, []);
  }, signal);
  for (const table of [...listCapture(copied), QUARANTINE, CONFLICT_LOG]) {
    copied.exec(`DROP TABLE ${quote(table)}`);
    await yieldToEventLoop();
    signal.throwIfAborted();
  }
}
