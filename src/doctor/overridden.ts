import { countText, firstOf } from "../lib/quantities.ts";
import { CONFLICT_LOG } from "../schema/names.ts";
import { quote } from "../sqlite/identifier.ts";
import { type Check, ok, warn } from "./check.ts";

const RECENT_MS = 86_400_000;

/** Writes that lost against newer ones of other nodes. */
export const overridden: Check = {
  name: "conflicts",
  run: async (patient, signal) => {
    const rows = await patient.readOwn(CONFLICT_LOG, (database) =>
      database.all(
        `SELECT table_name, count(*), sum(created_at > ?) FROM ${
          quote(CONFLICT_LOG)
        } GROUP BY table_name ORDER BY 3 DESC`,
        BigInt(Date.now() - RECENT_MS),
      ), signal);
    const [total, recent] = [1, 2].map((at) => rows.reduce((sum, row) => sum + Number(row[at]), 0)) as [
      number,
      number,
    ];
    if (recent === 0) {
      return ok(
        total === 0
          ? "No write was overridden"
          : `None in the last day, ${countText(total, "overridden write")} before`,
      );
    }
    return warn(
      `${countText(recent, "write")} ${
        recent === 1 ? "was" : "were"
      } overridden in the last day by newer ones of other nodes`,
      "`harmonylite conflicts` shows them and takes one back; let one node alone write what must not be lost.",
      {
        details: firstOf(
          rows.filter((row) => row[2] !== 0n).map(([table, , recent]) => `${table}: ${recent}`),
        ),
      },
    );
  },
};
