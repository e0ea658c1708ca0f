import { type Position, readPositions } from "../apply/position.ts";
import { oldestCapturedAt } from "../capture/unsent.ts";
import { messageOf } from "../lib/errors.ts";
import { CONFLICT_LOG, GLOBAL_LOG, QUARANTINE } from "../schema/names.ts";
import { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";

/** What stands in the database of a node. */
export interface DatabaseFacts {
  readonly positions: readonly Position[];
  readonly pending: number;
  /** When the first of them was made, Unix milliseconds. */
  readonly oldestPendingAtMs: number | undefined;
  readonly conflicts: number;
  readonly quarantined: number;
  readonly tablesWithTriggers: number;
}

/** How long another connection's lock is waited for. */
const PATIENCE_MS = 1_000;

/**
 * Reads the facts on a connection of its own, opened when they are wanted first: what the others do is neither waited for nor
 * in their transactions.
 */
export class FactReader implements Disposable {
  readonly #path: string;
  #database: Database | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** The facts, or why they cannot be had. */
  async read(): Promise<{ readonly facts?: DatabaseFacts; readonly problem?: string }> {
    const limit = AbortSignal.timeout(PATIENCE_MS);
    try {
      const database = this.#database ??= Database.open(this.#path, { readOnly: true });
      return { facts: await database.read(() => factsOf(database), limit) };
    } catch (error) {
      const problem = limit.aborted
        ? `Another program has kept the database locked for ${PATIENCE_MS} ms`
        : messageOf(error);
      return { problem };
    }
  }

  [Symbol.dispose](): void {
    this.#database?.close();
    this.#database = undefined;
  }
}

function factsOf(database: Database): DatabaseFacts {
  const count = (table: string): number => database.count(`SELECT count(*) FROM ${quote(table)}`);
  return {
    positions: readPositions(database),
    pending: count(GLOBAL_LOG),
    oldestPendingAtMs: oldestCapturedAt(database),
    conflicts: count(CONFLICT_LOG),
    quarantined: count(QUARANTINE),
    tablesWithTriggers: database.count(
      `SELECT count(DISTINCT tbl_name) FROM sqlite_schema
       WHERE type = 'trigger' AND name LIKE '\\_\\_harmonylite\\_\\_%' ESCAPE '\\'
         AND tbl_name NOT LIKE '\\_\\_harmonylite\\_\\_%' ESCAPE '\\'`,
    ),
  };
}
