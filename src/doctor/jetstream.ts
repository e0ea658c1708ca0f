import { bytesText } from "../lib/quantities.ts";
import { type Check, fail, ok, warn } from "./check.ts";

/** Shares of what the account may store. */
const NEARLY_FULL = 0.8;
const FULL = 0.95;

/** Whether JetStream is on, and has room left. */
export const jetstream: Check = {
  name: "jetstream",
  run: async (patient, signal) => {
    const { storage, streams, limits } = await patient.nats.inspector.account(signal);
    const rooms = [
      { what: "storage", used: storage, most: limits.max_storage, text: bytesText },
      { what: "streams", used: streams, most: limits.max_streams, text: String },
    ].filter(({ most }) => most > 0);
    const lines = rooms.map(({ what, used, most, text }) => `${what}: ${text(used)} of ${text(most)}`);
    const worst = Math.max(0, ...rooms.map(({ used, most }) => used / most));
    const advice =
      "Raise the limits of the account or of jetstream in the server's configuration, or lower max_entries.";
    const text = `JetStream has little room left, ${lines.join(", ")}`;
    if (worst >= FULL) return fail(text, advice);
    if (worst >= NEARLY_FULL) return warn(text, advice);
    return ok(
      `It is on: ${streams} streams, ${bytesText(storage)}${lines.length === 0 ? ", no limit" : ""}`,
      lines,
    );
  },
};
