import type { NodeStatus } from "./node_status.ts";

/** A running node of the cluster, and what it says of itself. */
export interface PeerStatus {
  /** In decimal. */
  readonly node: string;
  readonly instance: string;
  /** Undefined when it has not answered in time, or not so that it can be understood. */
  readonly status: NodeStatus | undefined;
  /** Why not. */
  readonly problem: string | undefined;
}

/** A node that has answered, and does no longer. */
export interface GoneNode {
  readonly node: string;
  readonly host: string;
  readonly seenAtMs: number;
}

/** How far behind one node was at one moment; undefined is what was not known. */
export interface Lag {
  /** Over all streams: the sum. */
  readonly messages: number | undefined;
  /** Over all streams: the longest. */
  readonly ms: number | undefined;
  /** Captured changes that were not sent yet. */
  readonly pending: number | undefined;
}

/** How all nodes were doing at one moment, by node. */
export interface Sample {
  /** Unix milliseconds, by the clock of the node that has looked. */
  readonly atMs: number;
  readonly nodes: Readonly<Record<string, Lag>>;
}

/** The cluster as one of its nodes sees it. */
export interface ClusterView {
  /** The node that has looked, in decimal. */
  readonly node: string;
  readonly atMs: number;
  readonly nodes: readonly PeerStatus[];
  readonly gone: readonly GoneNode[];
  /** Why only this node is known. */
  readonly problem: string | undefined;
  /** The oldest first. */
  readonly history: readonly Sample[];
}

export function lagOf({ streams, pending }: NodeStatus): Lag {
  const messages = streams.map(({ lagMessages }) => lagMessages);
  const times = streams.map(({ lagMs }) => lagMs);
  return {
    messages: messages.includes(undefined) ? undefined : messages.reduce<number>((sum, lag) => sum + lag!, 0),
    ms: times.includes(undefined) ? undefined : Math.max(0, ...times.map((ms) => ms!)),
    pending: pending.changes,
  };
}
