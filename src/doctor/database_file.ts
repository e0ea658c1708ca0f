import { isThere } from "../lib/files.ts";
import { type Check, fail, type Finding, ok, skipped, warn } from "./check.ts";
import { type Patient, Unavailable } from "./patient.ts";

/** Whether there is a database that can be opened. */
export const databaseFile: Check = {
  name: "database",
  run: async (patient, signal) => {
    const failure = patient.databaseFailure;
    if (failure?.code === "DATABASE_MISSING") return judgeMissing(patient);
    if (failure instanceof Unavailable) return skipped(failure.message);
    if (failure?.code === "DATABASE_INTERRUPTED") return warn(failure.message, failure.hint!);
    if (failure !== undefined) return fail(failure.message, failure.hint ?? "Check the file and its folder.");
    const tables = await patient.read(
      (database) => database.count("SELECT count(*) FROM sqlite_schema WHERE type = 'table'"),
      signal,
    );
    if (tables === 0) {
      return warn(
        `${patient.dbPath} holds no table`,
        "Let the application make its tables, or restore a snapshot.",
      );
    }
    return ok(patient.dbPath);
  },
};

function judgeMissing({ config, dbPath }: Patient): Finding {
  const left = [`${dbPath}-wal`, `${dbPath}-journal`].filter(isThere);
  if (left.length > 0) {
    return fail(
      `There is no ${dbPath}, but what belonged to it was left: ${left.join(", ")}`,
      "Remove these files too: beside another database they would bring old content into it.",
    );
  }
  const { enabled } = config.snapshot;
  return (enabled ? warn : fail)(
    `There is no ${dbPath}`,
    enabled
      ? "The next start of the node brings it back from the newest snapshot, if there is one."
      : "Start the application once so that it makes the file, correct db_path, or enable [snapshot].",
  );
}
