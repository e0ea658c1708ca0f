import { type Check, ok, warn } from "./check.ts";

export const journalMode: Check = {
  name: "journal_mode",
  run: async (patient, signal) => {
    const mode = String(await patient.read((database) => database.value("PRAGMA journal_mode"), signal));
    if (mode === "wal") return ok("WAL: readers and writers do not wait for each other");
    return warn(
      `The journal mode is ${mode}: readers and writers wait for each other, and an application may meet "database is locked"`,
      "Set it once, while no transaction is open: PRAGMA journal_mode = WAL.",
    );
  },
};
