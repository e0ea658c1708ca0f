import type { StreamConfig, StreamInfo } from "@nats-io/jetstream";
import type { StreamSettings, StreamState } from "./replication_log.ts";

/** The same message id within this time is stored once: what a lost acknowledgement may take to be noticed. */
export const DUPLICATE_WINDOW_MS = 120_000;

export function subjectOf(settings: StreamSettings, shard: number): string {
  return `${settings.subjectPrefix}-${shard}`;
}

/** What a new stream is called. An existing one is known by its subject: this node may compress and others not. */
export function streamNameOf(settings: StreamSettings, shard: number): string {
  return settings.compress ? `${settings.streamPrefix}-c-${shard}` : `${settings.streamPrefix}-${shard}`;
}

/** The subjects of all shards, and perhaps others, in NATS's way of matching. */
export function subjectFilter(settings: StreamSettings): string {
  return [...settings.subjectPrefix.split(".").slice(0, -1), "*"].join(".");
}

/** The shard that a stream holds; undefined when it is not one of this cluster. */
export function shardOf(
  settings: StreamSettings,
  subjects: readonly string[] | undefined,
): number | undefined {
  const [subject] = subjects ?? [];
  const prefix = `${settings.subjectPrefix}-`;
  if (subjects?.length !== 1 || !subject?.startsWith(prefix)) return undefined;
  const number = subject.slice(prefix.length);
  return /^[1-9]\d{0,8}$/.test(number) ? Number(number) : undefined;
}

/** Whether a stream of this name would be one of this cluster's; for one whose subject cannot be seen now. */
export function looksOurs(settings: StreamSettings, name: string): boolean {
  const prefix = `${settings.streamPrefix}-`;
  return name.startsWith(prefix) && /^(c-)?[1-9]\d*$/.test(name.slice(prefix.length));
}

/**
 * Whether the stream of a shard is called as a cluster with another prefix calls it. Any other name is taken as it is: a
 * stream is known by its subject.
 */
export function isOfAnotherCluster(settings: StreamSettings, name: string, shard: number): boolean {
  return /-(\d+)$/.exec(name)?.[1] === String(shard) && !looksOurs(settings, name);
}

/** The settings that every program which shares these streams has created them with since its first version. */
export function streamConfigOf(settings: StreamSettings, shard: number): StreamConfigRequest {
  return {
    name: streamNameOf(settings, shard),
    subjects: [subjectOf(settings, shard)],
    retention: "limits",
    discard: "old",
    storage: "file",
    max_msgs: settings.maxEntries,
    max_msgs_per_subject: -1,
    max_msg_size: -1,
    max_bytes: -1,
    max_age: 0,
    max_consumers: -1,
    num_replicas: settings.replicas,
    duplicate_window: DUPLICATE_WINDOW_MS * 1_000_000,
    allow_direct: true,
    deny_delete: true,
  };
}

type StreamConfigRequest = Partial<StreamConfig> & { name: string };

/** How a stream differs from the configuration of this node, one sentence each. */
export function differencesOf(
  settings: StreamSettings,
  config: Pick<StreamConfig, "name" | "max_msgs" | "num_replicas">,
): string[] {
  const told: string[] = [];
  if (config.max_msgs !== settings.maxEntries) {
    told.push(tellDifference(config.name, "max_entries", config.max_msgs, settings.maxEntries));
  }
  if (config.num_replicas !== settings.replicas) {
    told.push(tellDifference(config.name, "replicas", config.num_replicas, settings.replicas));
  }
  return told;
}

export function stateOf(info: StreamInfo, shard: number): StreamState {
  const { messages, first_seq: first, last_seq: last } = info.state;
  return {
    name: info.config.name,
    shard,
    created: info.created,
    // An empty stream has no first message; JetStream says 0 or last + 1, depending on its past.
    first: messages === 0 ? last + 1 : first,
    last,
  };
}

function tellDifference(stream: string, key: string, theirs: number, ours: number): string {
  return `Stream "${stream}" has ${key} = ${theirs}, the configuration says ${ours}: ` +
    `left as it is because replication_log.update_existing is off`;
}
