import { bytesText, countText, durationText } from "../lib/quantities.ts";
import type { Generation } from "../snapshot/manifest.ts";
import type { StreamReport } from "../stream/inspection.ts";
import { type Check, fail, ok, warn } from "./check.ts";
import type { Patient } from "./patient.ts";

/** Intervals after which one is overdue, and a while for taking it. */
const OVERDUE_INTERVALS = 2;
const GRACE_MS = 300_000;

/** Whether there is a snapshot from which a new node could go on with the streams. */
export const snapshots: Check = {
  name: "snapshots",
  limitMs: 30_000,
  run: async (patient, signal) => {
    await using desk = await patient.openSnapshots();
    const answers = patient.natsFailure ? [] : await patient.askNodes(signal);
    const failures = answers.flatMap(({ status: { node, snapshot } }) =>
      snapshot?.failure === undefined ? [] : [`node ${node}: ${snapshot.failure}`]
    );
    if (failures.length > 0) {
      return fail(
        "The last snapshot that was due could not be taken",
        "Mend what the reason says; it is tried again by itself.",
        { details: failures },
      );
    }
    const all = await desk.generations.list(signal);
    const [newest] = all;
    if (newest === undefined) {
      return warn(
        "There is no snapshot yet: a node that was away for long could not come back",
        "The nodes take one by themselves when they run; `harmonylite snapshot save` takes one now.",
      );
    }
    const age = Date.now() - newest.timeMs;
    const text = `${countText(all.length, "snapshot")}, the newest ${durationText(age)} old, ${
      bytesText(newest.size)
    }`;
    const gap = findGap(newest, await streamsOf(patient, signal));
    if (gap !== undefined) {
      return fail(
        `${text}; ${gap} has gone on further than it keeps: a new node would miss changes`,
        "Take one now: `harmonylite snapshot save`; and raise max_entries.",
      );
    }
    const { interval } = patient.config.snapshot;
    if (age < -GRACE_MS) {
      return warn(`${text}: it comes from the future`, "Set the clocks of the nodes right.");
    }
    if (interval > 0 && age > interval * OVERDUE_INTERVALS + GRACE_MS) {
      return warn(
        `${text}, though one is due every ${durationText(interval)}`,
        "Look for `Unable to save snapshot` in the logs of all nodes; `harmonylite snapshot save` takes one now.",
      );
    }
    return ok(text);
  },
};

async function streamsOf(patient: Patient, signal: AbortSignal): Promise<readonly StreamReport[]> {
  return patient.natsFailure ? [] : (await patient.nats.inspector.streams(signal)).streams;
}

/** A stream that does not keep the message behind the snapshot any more. */
function findGap(newest: Generation, streams: readonly StreamReport[]): string | undefined {
  return streams.find(({ name, created, first, last }) => {
    const position = newest.positions.find((each) => each.stream === name && each.created === created);
    return last > 0 && (position?.sequence ?? 0) + 1 < first;
  })?.name;
}
