import { countText, firstOf } from "../lib/quantities.ts";
import { type Check, ok, warn } from "./check.ts";
import { readNumberedTables } from "./numbered_tables.ts";

/** Whether several nodes count up the ids of one table: then two rows get one id, and one of them is lost. */
export const numberKeys: Check = {
  name: "number_keys",
  run: async (patient, signal) => {
    const tables = await patient.read(
      (database) => readNumberedTables(database, patient.config.tables),
      signal,
    );
    const shared = tables.filter(({ writers, isCounted }) => writers.length > 1 && isCounted);
    if (shared.length === 0) {
      return ok(
        tables.length === 0
          ? "No table counts up its ids"
          : "No table has its ids counted up by several nodes",
      );
    }
    return warn(
      `Several nodes write to ${
        countText(shared.length, "table")
      } with ids that SQLite counts up: two rows may get one id, and the newer replaces the other`,
      "Use UUIDs, or ids from a range for each node: `harmonylite ids` shows which and how.",
      {
        details: firstOf(
          shared.map(({ name, column, writers }) =>
            `${name}.${column}: written by nodes ${writers.join(", ")}`
          ),
        ),
      },
    );
  },
};
