import { type Position, readPositions } from "../apply/position.ts";
import { SchemaTracker } from "../capture/schema_tracker.ts";
import { readClock } from "../capture/trigger_sql.ts";
import type { Schema, TableFilter } from "../schema/followed_tables.ts";
import { Database } from "../sqlite/database.ts";

/** A snapshot in a private file of this node, opened to be read. */
export class SnapshotFile implements Disposable {
  readonly database: Database;
  readonly schema: Schema;
  readonly positions: readonly Position[];
  /** The hybrid clock of the node that took it, Unix nanoseconds. */
  readonly clock: bigint;

  private constructor(database: Database, schema: Schema) {
    this.database = database;
    this.schema = schema;
    this.positions = readPositions(database);
    this.clock = readClock(database);
  }

  /**
   * Capture is laid on the file, so that all tables of ours are there: one that the Go original took has none. `filter`:
   * only what this node follows is looked at.
   */
  static async open(path: string, filter: TableFilter, signal: AbortSignal): Promise<SnapshotFile> {
    using stack = new DisposableStack();
    const database = stack.use(Database.open(path));
    const { current } = await SchemaTracker.open(database, filter, {}, signal);
    // One for all that is read: a transaction for each row would take most of the time of a merge.
    database.exec("BEGIN");
    const file = new SnapshotFile(database, current);
    stack.move();
    return file;
  }

  [Symbol.dispose](): void {
    this.database.close();
  }
}
