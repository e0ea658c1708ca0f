/** A message as read from a stream. */
export interface LogMessage {
  /** Name of the stream it was read from. */
  readonly stream: string;
  /** Position in the stream, from 1. */
  readonly sequence: number;
  /** When the stream stored it, Unix nanoseconds: the same on every node. */
  readonly timeNs: bigint;
  /** Header fields by lower-case name; only those that this program sets ({@link HEADER_BATCH}, {@link HEADER_PART}). */
  readonly headers: ReadonlyMap<string, string>;
  /** The reader's own: nobody changes it. */
  readonly data: Uint8Array;
}

/** Name of the batch that this message is a part of. */
export const HEADER_BATCH = "batch";
/** `k/n`, k from 1: which of how many parts. */
export const HEADER_PART = "part";

/** A message to be stored. */
export interface OutgoingMessage {
  /** Becomes `Nats-Msg-Id`: the same id within the duplicate window is stored once. */
  readonly id: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly data: Uint8Array;
}

export interface PublishAck {
  readonly stream: string;
  /** Sequence under which the message is stored; of the first copy when `duplicate`. */
  readonly sequence: number;
  readonly duplicate: boolean;
}

/** What is known of one stream right now. */
export interface StreamState {
  readonly name: string;
  /** Shard number, from 1: the number at the end of its subject. */
  readonly shard: number;
  /** Creation time as the server prints it; another value under the same name means that the stream was recreated. */
  readonly created: string;
  /** Sequence of the first message kept; `last + 1` when the stream is empty. */
  readonly first: number;
  /** Sequence of the last message ever stored, 0 when there was none. */
  readonly last: number;
}

/** Settings of the streams of this cluster, from `[nats]` and `[replication_log]`. */
export interface StreamSettings {
  readonly streamPrefix: string;
  readonly subjectPrefix: string;
  /** How many shards this node publishes to: their streams are created when missing. */
  readonly shards: number;
  /** Messages kept in a stream before the oldest is discarded. */
  readonly maxEntries: number;
  readonly replicas: number;
  /** Only names a new stream (`-c`): whether a message is compressed is seen on the message. */
  readonly compress: boolean;
  /** Whether a stream whose settings differ is changed (true) or reported and left (false). */
  readonly updateExisting: boolean;
}

/**
 * The ordered, durable log of a cluster: some streams, each numbered from 1.
 * Adapters: JetStream, and one in memory for the simulation; `tests/contract` holds both to this contract.
 */
export interface ReplicationLog extends AsyncDisposable {
  /** Largest message in bytes, headers included, that the log stores. */
  readonly maxPayload: number;

  /**
   * Creates the streams of shards 1 … `shards` that do not exist yet and returns every stream of this cluster,
   * in order of shard. A stream belongs to the cluster when its subject is `<subjectPrefix>-<number>`, whatever its name.
   * Transient failures reject with a transient StreamError: the caller retries.
   */
  ensureStreams(): Promise<StreamState[]>;

  /** Every stream of this cluster, in order of shard, without creating any. */
  streams(): Promise<StreamState[]>;

  /**
   * Stores a message in the stream of a shard and resolves when the log has acknowledged it.
   * Calls for one shard made in order, without waiting, are stored in that order unless one fails.
   * A rejection is a StreamError; after a transient one the message may or may not have been stored,
   * and publishing it again under the same id within the duplicate window stores it once.
   */
  publish(shard: number, message: OutgoingMessage): Promise<PublishAck>;

  /**
   * Reads a stream from a sequence on, in order and without gaps, and waits at its end for more. Yields what has arrived,
   * one message at least, so that a reader can apply many in one transaction.
   * At most a bounded number of messages is buffered. It survives disconnects. The iteration ends when the signal is
   * aborted, and rejects with a StreamError when the stream is gone or `from` lies before the first kept message
   * (code `POSITION_TRUNCATED`), also when that happens while reading.
   * `known`: what is meant is the stream that was created then, not another one that has its name by now, nor an older copy of
   * it that has grown anew (code `STREAM_ROLLED_BACK`); without it the one that is there when the reading begins.
   */
  read(
    stream: string,
    from: number,
    signal: AbortSignal,
    known?: KnownPast,
  ): AsyncIterable<readonly LogMessage[]>;
}

/** What a reader knows of a stream in which it goes on. */
export interface KnownPast {
  readonly created: string;
  /** Nothing before the place where it goes on was stored later, Unix nanoseconds; 0 when that is not known. */
  readonly timeNs: bigint;
}
