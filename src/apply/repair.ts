import { raiseClock } from "../capture/trigger_sql.ts";
import type { Database } from "../sqlite/database.ts";
import type { ChangeEvent } from "../wire/event.ts";
import type { MessageApplier } from "./message_applier.ts";
import { readPositions } from "./position.ts";

/**
 * Takes over rows as another node has them, see `Fold.repair`; returns how many were written, none when the schema was
 * changed at that moment. An event without a clock is a row that the streams never spoke of.
 */
export async function repairRows(
  database: Database,
  messages: MessageApplier,
  events: readonly ChangeEvent[],
  signal: AbortSignal,
): Promise<number> {
  const rows = events.map((event) => ({ ...event, ts: event.ts ?? 0n }));
  const written = await messages.withFold((fold) => {
    const highest = readPositions(database).reduce((most, { time }) => time > most ? time : most, 0n);
    const planned = rows.map((row) => fold.plan(row)).filter((row) => row !== undefined);
    raiseClock(database, rows.reduce((most, { ts }) => ts > most ? ts : most, 0n));
    return planned.filter((row) => fold.repair(row, { highest, expired: 0n })).length;
  }, signal);
  return written ?? 0;
}
