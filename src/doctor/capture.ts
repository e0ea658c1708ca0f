import { type CaptureState, readCaptureState } from "../capture/capture_state.ts";
import { installCapture } from "../capture/change_log.ts";
import { ProcessLock } from "../capture/process_lock.ts";
import { pause } from "../lib/sleep.ts";
import { countText, firstOf } from "../lib/quantities.ts";
import { Database } from "../sqlite/database.ts";
import { type Check, fail, type Finding, ok, warn } from "./check.ts";
import type { Patient } from "./patient.ts";

/** A running node follows a change of the schema within a second; so long it is given. */
const PATIENCE_MS = 4_000;
const LOOK_INTERVAL_MS = 200;

/** Whether triggers and change logs are there, and are those that the tables want. */
export const capture: Check = {
  name: "capture",
  run: async (patient, signal) => {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const state = await patient.read(
        (database) => readCaptureState(database, patient.config.tables),
        signal,
      );
      const wrong = faultsOf(state);
      if (wrong.length === 0) {
        const { length } = state.tables;
        return ok(
          `${countText(length * 3, "trigger")} or more on ${countText(length, "table")}, as they should be`,
        );
      }
      const runs = await patient.runs(signal);
      if (!runs || performance.now() > deadline) return judge(patient, state, wrong, runs);
      await pause(LOOK_INTERVAL_MS, signal);
    }
  },
};

function faultsOf(
  { installed, tables, missingTables, missingColumns, staleTriggers }: CaptureState,
): string[] {
  if (!installed) return ["nothing is installed"];
  if (tables.length === 0) return ["no table is followed"];
  return [
    ...missingTables.map((name) => `missing: table ${name}`),
    ...missingColumns.map((name) => `missing: column ${name}`),
    ...staleTriggers.map((name) => `missing or not as it should be: trigger ${name}`),
  ];
}

function judge(patient: Patient, state: CaptureState, wrong: readonly string[], runs: boolean): Finding {
  if (state.tables.length === 0) {
    return warn(
      "No table is replicated",
      "Look at [tables] in the configuration, and at the tables of the database.",
    );
  }
  if (!state.installed) {
    return warn(
      "Neither triggers nor change logs are there: what is written is not captured",
      "Start the node, which installs them; rows written before are not sent.",
    );
  }
  if (runs) {
    return fail(
      "What captures changes is not as it should be, though the node runs",
      "Look into its log; if that does not help: `harmonylite cleanup`, then start the node again.",
      { details: firstOf(wrong) },
    );
  }
  return warn(
    "What captures changes does not fit the tables any more",
    "Start the node, or run `harmonylite doctor --fix`: either brings it in line; nothing pending is lost.",
    { details: firstOf(wrong), fix: () => install(patient) },
  );
}

/** What the next start of the node would do. Never beside a node: it has the process lock. */
async function install({ config }: Patient): Promise<string> {
  using _lock = ProcessLock.acquire(config.dbPath);
  using database = Database.open(config.dbPath);
  const { changed } = await installCapture(database, config.tables, AbortSignal.timeout(PATIENCE_MS));
  return `Triggers and change logs were brought in line: ${changed.join(", ")}`;
}
