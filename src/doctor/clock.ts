import { readClock } from "../capture/trigger_sql.ts";
import { durationText } from "../lib/quantities.ts";
import { CLOCK } from "../schema/names.ts";
import type { ClockReading } from "../stream/inspection.ts";
import { type Check, fail, ok, skipped, warn } from "./check.ts";
import { type Patient, Unavailable } from "./patient.ts";

/** Of two nodes that change one row within this time, the wrong one may win. */
const SKEW_MS = 1_000;
const GREAT_SKEW_MS = 60_000;

/** Whether the clocks of the NATS server, of the other nodes and of this machine agree, and the database's with them. */
export const clock: Check = {
  name: "clock",
  run: async (patient, signal) => {
    const compared = patient.natsFailure ? [] : await readOthers(patient, signal);
    const [worst] = compared.toSorted((a, b) => offBy(b.clock) - offBy(a.clock));
    if (worst && offBy(worst.clock) > SKEW_MS) {
      const direction = worst.clock.aheadMs > 0 ? "ahead of" : "behind";
      return (offBy(worst.clock) > GREAT_SKEW_MS ? fail : warn)(
        `This machine's clock is ${durationText(offBy(worst.clock))} ${direction} that of ${worst.name}`,
        "Set both clocks right (NTP): the newer of two changes is told by them.",
        { details: compared.map(({ name, clock }) => `${name}: ${Math.round(-clock.aheadMs)} ms from here`) },
      );
    }
    const leadMs = await readLead(patient, signal);
    if (leadMs !== undefined && leadMs > SKEW_MS) {
      return warn(
        `The database has seen changes from ${durationText(leadMs)} ahead of this machine's clock`,
        "Some node's clock was or is ahead: set it right; until that time has come every write counts as later.",
      );
    }
    if (worst) return ok(`It agrees with that of ${compared.map(({ name }) => name).join(", ")}`);
    return leadMs === undefined
      ? skipped("there is nothing to compare with")
      : ok("No change came from ahead of time");
  },
};

/** Somebody else's clock. */
interface Compared {
  readonly name: string;
  readonly clock: ClockReading;
}

/** By how much two clocks differ at least, milliseconds. */
function offBy({ aheadMs, uncertainMs }: ClockReading): number {
  return Math.max(0, Math.abs(aheadMs) - uncertainMs);
}

async function readOthers(patient: Patient, signal: AbortSignal): Promise<Compared[]> {
  const server = await patient.nats.inspector.clock(signal);
  const nodes = (await patient.askNodes(signal)).filter(({ status }) =>
    status.node !== String(patient.config.nodeId)
  );
  return [
    ...server ? [{ name: "the NATS server", clock: server }] : [],
    ...nodes.map(({ status, clock }) => ({ name: `node ${status.node}`, clock })),
  ];
}

/** By how much the hybrid clock is ahead; undefined where there is none. */
async function readLead(patient: Patient, signal: AbortSignal): Promise<number | undefined> {
  try {
    const ts = await patient.readOwn(CLOCK, readClock, signal);
    return Number(ts / 1_000_000n) - Date.now();
  } catch (error) {
    if (error instanceof Unavailable) return undefined;
    throw error;
  }
}
