import { bytesText, countText } from "../lib/quantities.ts";
import type { StreamReports } from "../stream/inspection.ts";
import { type Check, fail, type Finding, ok, warn } from "./check.ts";

/** Whether the streams of this node are there, with the settings that it needs and wants. */
export const streams: Check = {
  name: "streams",
  run: async (patient, signal) => {
    const reports = await patient.nats.inspector.streams(signal);
    return judgeBroken(reports, patient.config.replicationLog.shards, await patient.runs(signal)) ??
      judgeSettings(reports) ??
      ok(
        `${countText(reports.streams.length, "stream")}, as configured`,
        reports.streams.map(({ name, first, last, maxMessages, bytes: size }) =>
          `${name}: ${last - first + 1} of at most ${maxMessages} messages, ${bytesText(size)}`
        ),
      );
  },
};

function judgeBroken(
  { streams, foreign, unreachable }: StreamReports,
  shards: number,
  runs: boolean,
): Finding | undefined {
  if (foreign.length > 0) {
    return fail(
      `Another cluster has its streams on these subjects: ${foreign.join(", ")}`,
      "Give this cluster a subject_prefix of its own, besides its stream_prefix, on all nodes.",
    );
  }
  if (unreachable.length > 0) {
    return fail(`No server with ${unreachable.join(", ")} answers`, "Start the NATS servers that are down.");
  }
  const faults = streams.flatMap((stream) => stream.faults);
  if (faults.length > 0) {
    return fail(
      faults[0]!,
      "Put it back with `nats stream edit`; or remove the stream while all nodes run, and they make it anew and send all rows again.",
      { details: faults },
    );
  }
  const there = new Set(streams.map(({ shard }) => shard));
  const missing = Array.from({ length: shards }, (_, at) => at + 1).filter((shard) => !there.has(shard));
  if (missing.length === 0) return undefined;
  const text = missing.length === shards
    ? "There is no stream yet"
    : `There is no stream for shard ${missing.join(", ")}`;
  if (!runs) return warn(text, "The node makes it when it starts.");
  return fail(text, "Look for `Failed to create stream` in the log of the node.");
}

function judgeSettings({ streams, twins }: StreamReports): Finding | undefined {
  const offline = streams.flatMap(({ name, offline }) =>
    offline.map((server) => `${name}: ${server} is away`)
  );
  if (offline.length > 0) {
    return warn("Copies of streams are on servers that are away", "Start these NATS servers.", {
      details: offline,
    });
  }
  if (twins.length > 0) {
    return warn(
      `Two streams have one subject: ${twins.join(", ")} is not used`,
      "The nodes remove it when that loses nothing; if it stays: compare with `harmonylite verify`, then `nats stream rm`.",
    );
  }
  const differences = streams.flatMap((stream) => stream.differences);
  if (differences.length === 0) return undefined;
  return warn(
    differences[0]!,
    "Set the same on all nodes, and update_existing = true under [replication_log] on one of them.",
    { details: differences },
  );
}
