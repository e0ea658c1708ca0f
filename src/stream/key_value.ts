/** What a bucket holds at one moment. */
export interface BucketState {
  /** Creation time as the server prints it; another value means that the bucket was made anew, and was empty then. */
  readonly created: string;
  /** Rises with every value that is put. */
  readonly revision: number;
  readonly keys: readonly string[];
}

/** What is under a key at one moment. */
export interface Entry {
  /** Undefined when there is none. */
  readonly value: Uint8Array | undefined;
  /** Another number after each change; 0 when nothing was ever put there. */
  readonly revision: number;
}

/** Where values lie. */
export interface BucketSettings {
  readonly bucket: string;
  /** Stands before every key, parted by a dot, so that clusters can share a bucket; empty: keys stand alone. */
  readonly folder: string;
  /** Of a bucket that has to be created. */
  readonly replicas: number;
}

/**
 * Some values by key that a cluster shares, kept until they are replaced. Keys are letters, digits, `-` and `_`.
 * What was put before a call began is seen by it, whichever node put it.
 * Rejections are StreamErrors, or the signal's reason; after a transient one a value may or may not have been put.
 * Adapters: JetStream's key-value buckets, and one in memory; `tests/contract` holds both to this contract.
 */
export interface KeyValueStore {
  /** Largest value in bytes. */
  readonly maxValueBytes: number;

  /** Creates the bucket if it is missing, and resolves when the value is acknowledged. */
  put(key: string, value: Uint8Array, signal: AbortSignal): Promise<void>;

  /** The keys of the folder; undefined while there is no bucket. */
  list(signal: AbortSignal): Promise<BucketState | undefined>;

  /** Undefined when there is none under that key. */
  get(key: string, signal: AbortSignal): Promise<Uint8Array | undefined>;

  /** Like {@link get}, with what {@link replace} wants to know. */
  entry(key: string, signal: AbortSignal): Promise<Entry>;

  /**
   * Puts a value, an empty one to remove what is there, if nobody has changed the entry since it had this revision. Resolves
   * with its new revision, undefined when somebody has. Creates the bucket if it is missing.
   */
  replace(key: string, value: Uint8Array, revision: number, signal: AbortSignal): Promise<number | undefined>;
}
