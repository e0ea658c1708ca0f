import { readCaptureState } from "../capture/capture_state.ts";
import { countText, firstOf } from "../lib/quantities.ts";
import { type Check, ok, warn } from "./check.ts";

/** Tables that cannot be replicated, or only by their rowid. */
export const tables: Check = {
  name: "tables",
  run: async (patient, signal) => {
    const { tables, leftOut } = await patient.read(
      (database) => readCaptureState(database, patient.config.tables),
      signal,
    );
    const keyless = tables.filter(({ keyIsRowid }) => keyIsRowid).map(({ name }) => name);
    const lines = [
      ...[...leftOut].map(([name, reason]) => `${name} is not replicated: ${reason}`),
      ...keyless.map((name) => `${name} has no primary key: its rows are told apart by their rowid`),
    ];
    if (lines.length === 0) return ok(`${countText(tables.length, "table")}, each with a primary key`);
    return warn(
      keyless.length > 0
        ? `${
          countText(keyless.length, "table")
        } without a primary key: rows of two nodes may take each other's place`
        : `${countText(leftOut.size, "table")} cannot be replicated`,
      keyless.length > 0
        ? "Give each table a primary key, best a UUID; or exclude it under [tables]."
        : "Exclude them under [tables], so that nobody expects them elsewhere.",
      { details: firstOf(lines) },
    );
  },
};
