import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { QUARANTINE } from "../schema/names.ts";
import { HEADER_BATCH, HEADER_PART, type LogMessage } from "../stream/replication_log.ts";

/** Puts a message aside that cannot be understood or applied, as it came; inside the transaction that passes it. */
export function quarantine(database: Database, message: LogMessage, reason: string): void {
  database.run(
    `INSERT INTO ${quote(QUARANTINE)} (stream, sequence, batch, part, reason, data, created_at)
     VALUES (?, ?, ?, ?, ?, ?, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))`,
    message.stream,
    BigInt(message.sequence),
    message.headers.get(HEADER_BATCH) ?? null,
    message.headers.get(HEADER_PART) ?? null,
    reason,
    message.data,
  );
}
