import type { Config } from "../config/config.ts";
import { readPositions } from "../apply/position.ts";
import { pause } from "../lib/sleep.ts";
import { countText } from "../lib/quantities.ts";
import { POSITION } from "../schema/names.ts";
import type { StreamReport } from "../stream/inspection.ts";
import { type Check, fail, type Finding, ok, skipped, warn } from "./check.ts";
import type { Patient } from "./patient.ts";

/** A node that is at work has applied something within this time. */
const PATIENCE_MS = 5_000;
const LOOK_INTERVAL_MS = 250;
/** Share of what a stream keeps: whoever is further behind may lose the connection to it. */
const FAR_BEHIND = 0.5;

/** How far a node is in one stream. */
interface Standing {
  readonly stream: StreamReport;
  /** The last message applied, 0 before the first. */
  readonly sequence: number;
  readonly lag: number;
  /** `gap`: the next message is not kept any more. `recreated`: the stream is not the one that was read. */
  readonly state: "following" | "gap" | "recreated";
}

/** Whether this node applies what the streams hold, and is not so far behind that it would miss something. */
export const progress: Check = {
  name: "progress",
  run: async (patient, signal) => {
    if (!patient.config.replicate) return skipped("replicate = false: this node applies nothing");
    const paused = (await patient.askOwn(signal))?.paused ?? [];
    if (paused.length > 0) {
      return fail(
        `It waits for the schema (schema_mismatch_paused): ${paused.map(({ table }) => table).join(", ")}`,
        paused[0]!.hint ??
          "Make the ALTER TABLE or CREATE TABLE here that another node has had; it goes on within a second.",
        { details: paused.map(({ stream, reason }) => `${stream ?? "a snapshot"}: ${reason}`) },
      );
    }
    const runs = await patient.runs(signal);
    const deadline = performance.now() + PATIENCE_MS;
    const first = await standings(patient, signal);
    for (let now = first;;) {
      const troubled = now.find(({ state }) => state !== "following");
      if (troubled && !runs) return judgeTrouble(patient.config, troubled, runs);
      const moves = now.some(({ sequence }, at) => sequence > (first[at]?.sequence ?? 0));
      const behind = now.reduce((sum, { lag }) => sum + lag, 0);
      if (!troubled && (behind === 0 || moves || !runs)) {
        return judgeLag(now, runs);
      }
      if (performance.now() > deadline) {
        return troubled ? judgeTrouble(patient.config, troubled, runs) : judgeStuck(now);
      }
      await pause(LOOK_INTERVAL_MS, signal);
      now = await standings(patient, signal);
    }
  },
};

async function standings(patient: Patient, signal: AbortSignal): Promise<Standing[]> {
  const positions = await patient.readOwn(POSITION, readPositions, signal);
  const { streams } = await patient.nats.inspector.streams(signal);
  return streams.map((stream): Standing => {
    const position = positions.find(({ stream: name }) => name === stream.name);
    const isSame = position === undefined || position.created === stream.created;
    const sequence = isSame ? position?.sequence ?? 0 : 0;
    const state = !isSame || sequence > stream.last
      ? "recreated"
      : sequence + 1 < stream.first
      ? "gap"
      : "following";
    return { stream, sequence, lag: Math.max(0, stream.last - sequence), state };
  });
}

function judgeTrouble(
  { snapshot }: Config,
  { stream: { name, first }, sequence, state }: Standing,
  runs: boolean,
): Finding {
  if (state === "recreated") {
    return warn(
      `${name} is not the stream that this node has read: it was made anew, or lost its end`,
      !runs
        ? "Start the node: it sends again what is in its database, and follows the new stream."
        : "The node follows it as soon as it can; see the log.",
    );
  }
  const text = `${name} keeps messages from ${first} on, and this node has applied those up to ${sequence}`;
  const keep = "Raise max_entries, so that a stream holds all messages of the longest absence.";
  if (!snapshot.enabled) {
    return fail(
      `${text}: what is missing cannot be had`,
      `Enable [snapshot] on all nodes, and start this one again. ${keep}`,
    );
  }
  return (!runs ? warn : fail)(
    text,
    !runs
      ? `The next start closes the gap from a snapshot. ${keep}`
      : "It waits for a snapshot: see the checks of those, and `harmonylite snapshot save` on another node.",
  );
}

function judgeLag(all: readonly Standing[], runs: boolean): Finding {
  const lines = all.map(({ stream, sequence, lag }) => `${stream.name}: at ${sequence}, ${lag} behind`);
  const lag = all.reduce((sum, each) => sum + each.lag, 0);
  const far = all.find((each) =>
    each.stream.maxMessages > 0 && each.lag > each.stream.maxMessages * FAR_BEHIND
  );
  if (far) {
    return warn(
      `This node is ${
        countText(far.lag, "message")
      } behind in ${far.stream.name}, which keeps ${far.stream.maxMessages}`,
      `${
        !runs ? "Start the node soon" : "Let it catch up"
      }, and raise max_entries: who falls behind further needs a snapshot.`,
      { details: lines },
    );
  }
  if (lag === 0) return ok("All that is in the streams is applied", lines);
  return ok(
    `${countText(lag, "message")} to apply${!runs ? " after the next start" : ""}`,
    lines,
  );
}

function judgeStuck(all: readonly Standing[]): Finding {
  const stuck = all.filter(({ lag }) => lag > 0);
  const lag = stuck.reduce((sum, each) => sum + each.lag, 0);
  return fail(
    `Nothing is applied, though ${countText(lag, "message")} ${lag === 1 ? "waits" : "wait"}`,
    "The log of the node says why; a restart does no harm.",
    { details: stuck.map(({ stream, sequence, lag }) => `${stream.name}: at ${sequence}, ${lag} behind`) },
  );
}
