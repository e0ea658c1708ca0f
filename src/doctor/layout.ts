import { type Check, ok, warn } from "./check.ts";

/** Whether the other nodes divide their changes over the same streams. */
export const layout: Check = {
  name: "layout",
  run: async (patient, signal) => {
    const { nats: { streamPrefix, subjectPrefix }, replicationLog: { shards } } = patient.config;
    const strangers = await patient.nats.inspector.strangers(signal);
    if (strangers.length > 0) {
      return warn(
        `Streams called after ${streamPrefix} have other subjects than ${subjectPrefix}-…: ${
          strangers.join(", ")
        }`,
        "Set the same subject_prefix under [nats] on all nodes of a cluster.",
      );
    }
    const { streams } = await patient.nats.inspector.streams(signal);
    const more = streams.filter(({ shard }) => shard > shards).map(({ name }) => name);
    if (more.length > 0) {
      return warn(
        `This node sends to ${shards} of ${streams.length} streams: others have, or had, a larger shards`,
        "Set the same shards under [replication_log] on all nodes; all streams are read meanwhile, and none is lost.",
        { details: more },
      );
    }
    return ok(`${shards === 1 ? "One stream" : `${shards} streams`}, as the others have them`);
  },
};
