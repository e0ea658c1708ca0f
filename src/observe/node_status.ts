/**
 * `connecting`: there has been no connection to NATS yet. `recovering`: a snapshot is being taken over. `catching_up`: what
 * the streams held at the start is being read, nothing is sent before. `stopping`: it was asked to, or a loop has failed.
 */
export type NodePhase = "connecting" | "recovering" | "catching_up" | "replicating" | "stopping";

/** `unread`: this node does not read it, or not yet. `gap`: messages that it has not read are gone from the stream. */
export type StreamStatusCondition = "unread" | "reading" | "schema_mismatch_paused" | "gap" | "failing";

/** One stream, and how far this node has come in it. */
export interface StreamStatus {
  readonly name: string;
  readonly shard: number;
  readonly condition: StreamStatusCondition;
  /** Sequence of the last message that is applied here, 0 before the first. */
  readonly position: number;
  /** Sequences of the first message that is kept and of the last; undefined when the server was not asked or did not answer. */
  readonly first: number | undefined;
  readonly last: number | undefined;
  /**
   * Messages that are in the stream and not applied here; a message holds one change or many. Undefined as for `last`, and on
   * a node that applies nothing.
   */
  readonly lagMessages: number | undefined;
  /**
   * For how long the first of them has been waiting, at most; exact once it has arrived here. 0 when there is none, undefined
   * when that is not known.
   */
  readonly lagMs: number | undefined;
}

/** What waits for this node's schema. */
export interface PausedTable {
  readonly table: string;
  /** Undefined for a snapshot that is being taken over. */
  readonly stream: string | undefined;
  /** What is lacking, and what to do. */
  readonly reason: string;
  readonly hint: string | undefined;
  readonly sinceMs: number;
}

export interface SnapshotStatus {
  /** Name of the newest one that the store holds, whoever took it; undefined when there is none or it is not known. */
  readonly newest: string | undefined;
  readonly takenAtMs: number | undefined;
  /** By that node, in decimal. */
  readonly takenBy: string | undefined;
  readonly bytes: number | undefined;
  /** How many the store holds. */
  readonly kept: number | undefined;
  /** Why the store could not be asked the last time. */
  readonly problem: string | undefined;
  /** The node that takes the snapshots, in decimal. */
  readonly leader: string | undefined;
  /** Whether that is this process. */
  readonly isLeader: boolean;
  /** Why this node could not take one the last time that it should. */
  readonly failure: string | undefined;
}

/**
 * Everything that is true of a running node at one moment. Plain data, so that CBOR and JSON carry it; ids of nodes are texts,
 * as a JSON number does not hold them. Times (`…AtMs`, `sinceMs`) are Unix milliseconds by the node's own clock, `nowMs` is that clock.
 * Undefined, or missing, is what is not known at this moment.
 */
export interface NodeStatus {
  readonly node: string;
  /** Drawn at each start. */
  readonly instance: string;
  readonly version: string;
  readonly host: string;
  readonly process: number;
  readonly nowMs: number;
  readonly startedAtMs: number;
  readonly phase: NodePhase;
  /** Whether it sends its changes, and whether it applies those of others. */
  readonly publish: boolean;
  readonly replicate: boolean;
  readonly database: {
    readonly path: string;
    /** Why it could not be read, or not in time; then what stands in it is not known. */
    readonly problem: string | undefined;
    /** How often a transaction of this process had to wait for another one's lock since the start. */
    readonly busyRetries: number;
  };
  readonly nats: {
    readonly connected: boolean;
    /** `host:port`. */
    readonly server: string | undefined;
    /** Whether the node runs it itself. */
    readonly embedded: boolean;
    /** Since when it is connected, or is not. */
    readonly sinceMs: number;
    /** Since when JetStream has not told where its streams end though the node is connected; undefined when it does. */
    readonly silentSinceMs: number | undefined;
  };
  readonly schema: {
    readonly hash: string;
    /** Replicated tables, and how many of them have triggers. */
    readonly tables: number;
    readonly tablesWithTriggers: number | undefined;
    /** Tables that cannot be followed, by name, with the reason. */
    readonly leftOut: Readonly<Record<string, string>>;
  };
  readonly streams: readonly StreamStatus[];
  readonly paused: readonly PausedTable[];
  /** Captured changes that no stream has acknowledged yet, and when the first of them was made. */
  readonly pending: { readonly changes: number | undefined; readonly oldestAtMs: number | undefined };
  /** Since the start. */
  readonly published: { readonly changes: number; readonly lastAtMs: number | undefined };
  readonly applied: { readonly changes: number; readonly lastAtMs: number | undefined };
  readonly conflicts: {
    /** Changes of others that lost against newer ones, since the start. */
    readonly lost: number;
    /** Overridden images that the database keeps; `harmonylite conflicts list` shows them. */
    readonly kept: number | undefined;
  };
  /** Messages that could not be understood or applied, as the database keeps them. */
  readonly quarantined: number | undefined;
  /** Why the snapshot that this node needs could not be taken over the last time; the next attempt follows. */
  readonly restoreFailure: string | undefined;
  /** Undefined where [snapshot] is not enabled. */
  readonly snapshot: SnapshotStatus | undefined;
  /** The last comparison with the other nodes; undefined before the first. */
  readonly verified: { readonly atMs: number; readonly differing: number } | undefined;
  /** Parts of the program that have ended though nobody asked them to. */
  readonly deadLoops: readonly string[];
}
