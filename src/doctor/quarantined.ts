import { countText, firstOf } from "../lib/quantities.ts";
import { QUARANTINE } from "../schema/names.ts";
import { quote } from "../sqlite/identifier.ts";
import { type Check, ok, warn } from "./check.ts";

/** Messages that could not be applied, and own changes that could not be sent. */
export const quarantined: Check = {
  name: "quarantine",
  run: async (patient, signal) => {
    const rows = await patient.readOwn(QUARANTINE, (database) =>
      database.all(
        `SELECT reason, count(*), max(created_at), max(stream), max(sequence) FROM ${quote(QUARANTINE)}
         GROUP BY reason ORDER BY 3 DESC`,
      ), signal);
    if (rows.length === 0) return ok("Nothing was put aside");
    const total = rows.reduce((sum, row) => sum + Number(row[1]), 0);
    return warn(
      `${countText(total, "message")} could not be applied or sent, and ${
        total === 1 ? "was" : "were"
      } put aside`,
      `Read why, mend the cause, compare with \`harmonylite verify\`, then empty the table: DELETE FROM ${QUARANTINE}.`,
      {
        details: firstOf(rows.map(([reason, number, at, stream, sequence]) => {
          const where = stream === null ? "" : ` (${stream} at ${sequence})`;
          return `${number} × ${reason}${where}, last ${new Date(Number(at)).toISOString()}`;
        })),
      },
    );
  },
};
