import { SchemaTracker } from "../capture/schema_tracker.ts";
import { DatabaseError } from "../lib/errors.ts";
import type { TableFilter } from "../schema/followed_tables.ts";
import { listOwn } from "../schema/own_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { findConflict, type LoggedConflict } from "./conflict_log.ts";
import { Restoration, type Restored } from "./restoration.ts";

export interface RestoreOptions {
  readonly id: bigint;
  /** Which tables this node follows. */
  readonly filter: TableFilter;
  /** This node's id. */
  readonly node: bigint;
  /** Delete the rows that hold the image's UNIQUE values now; otherwise they make it fail. */
  readonly replace: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Puts the image of a conflict back, as a write that the application might have made: the triggers capture it, so it is
 * newer than all that this node has seen, and all nodes get it. In one transaction; beside a running node or without one.
 * Foreign keys are not enforced, as the row's parents may be put back after it.
 *
 * Throws a DatabaseError with code CONFLICT_UNKNOWN, NOT_CAPTURED or NOT_RESTORED, having changed nothing.
 */
export async function restoreConflict(database: Database, options: RestoreOptions): Promise<Restored> {
  const { id, filter, signal } = options;
  const conflict = await database.look(() => findConflict(database, id), signal);
  if (!conflict) {
    throw new DatabaseError(
      "CONFLICT_UNKNOWN",
      `Cannot put back conflict ${id}: there is none of that number`,
      {
        hint:
          "`harmonylite conflicts list` shows them. The oldest are dropped when there are more than ten thousand.",
      },
    );
  }
  await database.look(() => requireCapture(database, conflict), signal);
  const tracker = await SchemaTracker.open(database, filter, {}, signal);
  // What applies changes of other nodes leaves these out: they held where a row was written. Here it is written anew.
  database.exec("PRAGMA ignore_check_constraints = OFF");
  return await tracker.write(
    () => new Restoration(database, tracker.current, conflict, options).run(),
    signal,
  );
}

/** Without triggers the row would come back on this node alone. */
function requireCapture(database: Database, conflict: LoggedConflict): void {
  if (listOwn(database, "trigger").length > 0) return;
  throw new DatabaseError(
    "NOT_CAPTURED",
    `Cannot put back conflict ${conflict.id}: changes of this database are not captured`,
    { hint: "The row would come back here alone. Start the node first." },
  );
}
