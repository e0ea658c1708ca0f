import { MAX_CHANGE_BYTES } from "../capture/change_reader.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { presentTable } from "../schema/followed_tables.ts";
import { hasTable } from "../schema/own_tables.ts";
import { changeLog, GLOBAL_LOG, QUARANTINE } from "../schema/names.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import type { RefusedChange, Round } from "./round.ts";

/**
 * Notes that changes will never be sent (state −1), so that nothing waits for them. The quarantine says so to a person: the
 * other nodes keep what they have of these rows.
 */
export async function markFailed(schema: SchemaTracker, database: Database, round: Round): Promise<void> {
  await schema.write(() => {
    if (schema.current.logs !== round.logs) return;
    for (const change of round.refused) {
      const log = changeLog(presentTable(schema.current, change.table));
      if (hasTable(database, log)) {
        database.run(`UPDATE ${quote(log)} SET state = -1 WHERE id = ?`, change.id);
      }
      database.run(`DELETE FROM ${quote(GLOBAL_LOG)} WHERE id = ?`, change.globalId);
      database.run(
        `INSERT INTO ${quote(QUARANTINE)} (reason, created_at)
         VALUES (?, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))`,
        describeRefusal(change),
      );
    }
  });
}

export function describeRefusal({ table, key, bytes }: RefusedChange): string {
  return `Cannot send a change of table "${table}", ${key}: ${bytes} bytes exceed the limit of ${MAX_CHANGE_BYTES}`;
}
