import { MAX_CHANGE_BYTES } from "../capture/change_reader.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { presentTable, type Schema } from "../schema/followed_tables.ts";
import { changeLog, GLOBAL_LOG, QUARANTINE, valueColumn } from "../schema/names.ts";
import { hasTable } from "../schema/own_tables.ts";
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
      giveUp(database, schema.current, change);
      database.run(`DELETE FROM ${quote(GLOBAL_LOG)} WHERE id = ?`, change.globalId);
      database.run(
        `INSERT INTO ${quote(QUARANTINE)} (reason, created_at)
         VALUES (?, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))`,
        describeRefusal(change),
      );
    }
  });
}

/**
 * The change stays, as the next gets its id from the newest, but its values go: to write their row once more with another
 * state SQLite would have to hold them in memory, twice.
 */
function giveUp(database: Database, schema: Schema, change: RefusedChange): void {
  const name = presentTable(schema, change.table);
  const columns = schema.tables.get(name)?.columns ?? [];
  const emptied = columns.map((column) => `${quote(valueColumn(column.name))} = NULL`);
  // With a table that was dropped meanwhile its changes may have gone.
  if (!hasTable(database, changeLog(name))) return;
  const set = ["state = -1", ...emptied].join(", ");
  database.run(`UPDATE ${quote(changeLog(name))} SET ${set} WHERE id = ?`, change.id);
}

export function describeRefusal({ table, key, bytes }: RefusedChange): string {
  return `Cannot send a change of table "${table}", ${key}: ${bytes} bytes exceed the limit of ${MAX_CHANGE_BYTES}`;
}
