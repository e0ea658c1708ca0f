import { toRanges } from "../lib/ranges.ts";
import { changeLog, GLOBAL_LOG } from "../schema/names.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import type { LoggedChange } from "./round.ts";

/** Changes marked in one transaction: some 10 ms, in which the application waits to write. */
const MAX_MARKED_PER_TRANSACTION = 4096;

/** Where acknowledged changes lie. */
export interface StoredAt {
  readonly shard: number;
  /** Of the message by which they take effect: the last part of their batch. */
  readonly sequence: number;
}

/**
 * Notes in the change logs that changes are in their stream, and takes them out of the global log.
 * A crash before or between only means that they are sent again, which changes nothing.
 */
export async function markPublished(
  database: Database,
  changes: readonly LoggedChange[],
  stored: StoredAt,
): Promise<void> {
  for (let at = 0; at < changes.length; at += MAX_MARKED_PER_TRANSACTION) {
    const some = changes.slice(at, at + MAX_MARKED_PER_TRANSACTION);
    await database.write(() => {
      for (const [table, ofTable] of Map.groupBy(some, (change) => change.table)) {
        markTable(database, table, ofTable.map(({ id }) => id), stored);
      }
      for (const [first, last] of toRanges(some.map(({ globalId }) => globalId))) {
        database.run(`DELETE FROM ${quote(GLOBAL_LOG)} WHERE id BETWEEN ? AND ?`, first, last);
      }
    });
  }
}

function markTable(database: Database, table: string, ids: bigint[], { shard, sequence }: StoredAt): void {
  const sql = `UPDATE ${
    quote(changeLog(table))
  } SET state = 1, shard = ?, sequence = ? WHERE id BETWEEN ? AND ?`;
  for (const [first, last] of toRanges(ids)) {
    database.run(sql, BigInt(shard), BigInt(sequence), first, last);
  }
}
