import { oldestCapturedAt } from "../capture/unsent.ts";
import { countText, durationText } from "../lib/quantities.ts";
import { GLOBAL_LOG } from "../schema/names.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { type Check, fail, ok, warn } from "./check.ts";

/** A node that is well sends within a second; a large transaction may take some. */
const MAX_WAIT_MS = 30_000;
const MAX_DELAY_MS = 600_000;

/** How many captured changes wait to be sent, and for how long. */
export const pending: Check = {
  name: "pending",
  run: async (patient, signal) => {
    const { waiting, ageMs } = await patient.readOwn(GLOBAL_LOG, readPending, signal);
    if (waiting === 0) return ok("Nothing waits to be sent");
    const age = ageMs === undefined ? "" : `, the oldest for ${durationText(ageMs)}`;
    const text = `${countText(waiting, "change")} ${waiting === 1 ? "waits" : "wait"} to be sent${age}`;
    if (!patient.config.publish) {
      return warn(
        `${text}: publish = false`,
        "Set publish = true to send them, or `harmonylite cleanup --discard-pending` to drop them.",
      );
    }
    if (!await patient.runs(signal)) return warn(text, "Start the node: it sends them.");
    if ((ageMs ?? 0) < MAX_WAIT_MS) return ok(text);
    return ((ageMs ?? 0) < MAX_DELAY_MS ? warn : fail)(
      text,
      "Look at the checks of NATS and streams, and for `Unable to publish` in the log.",
    );
  },
};

function readPending(database: Database): { waiting: number; ageMs: number | undefined } {
  const waiting = database.count(`SELECT count(*) FROM ${quote(GLOBAL_LOG)}`);
  const at = oldestCapturedAt(database);
  return { waiting, ageMs: at === undefined ? undefined : Math.max(0, Date.now() - at) };
}
