import { messageOf } from "../lib/errors.ts";
import { yieldToEventLoop } from "../lib/sleep.ts";
import { countText, firstOf } from "../lib/quantities.ts";
import { isUnpreparable } from "../sqlite/database.ts";
import { isOurs } from "../schema/names.ts";
import { type Check, ok, warn } from "./check.ts";
import type { Patient } from "./patient.ts";

/** Of one table; more are not counted. */
const MAX_COUNTED = 1_000;

/** Whether every row has the row that it refers to. */
export const foreignKeys: Check = {
  name: "foreign_keys",
  limitMs: 30_000,
  run: async (patient, signal) => {
    const names = await patient.read((database) =>
      database.all(
        `SELECT DISTINCT s.name FROM sqlite_schema AS s, pragma_foreign_key_list(s.name) WHERE s.type = 'table'`,
      ), signal);
    const tables = names.map(([name]) => String(name)).filter((name) => !isOurs(name));
    const lines: string[] = [];
    for (const table of tables) {
      await yieldToEventLoop();
      const problem = await judgeTable(patient, table, signal);
      if (problem !== undefined) lines.push(`${table}: ${problem}`);
    }
    if (lines.length === 0) {
      return ok(tables.length === 0 ? "There are none" : `They hold in ${countText(tables.length, "table")}`);
    }
    return warn(
      `Rows refer to rows that are not there, in ${countText(lines.length, "table")}`,
      "Look again when nothing is on its way: rows of different streams may arrive in either order; what stays is the application's to mend.",
      { details: firstOf(lines) },
    );
  },
};

async function judgeTable(patient: Patient, table: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const found = await patient.read(
      (database) =>
        database.count(
          "SELECT count(*) FROM (SELECT 1 FROM pragma_foreign_key_check(?) LIMIT ?)",
          table,
          BigInt(MAX_COUNTED),
        ),
      signal,
    );
    if (found === 0) return undefined;
    return `${found === MAX_COUNTED ? "at least " : ""}${countText(found, "row")}`;
  } catch (error) {
    if (isUnpreparable(error)) return messageOf(error);
    throw error;
  }
}
