/** One object of a store. */
export interface StoredObject {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** When it was stored or renamed, in Unix milliseconds by the clock of the store. */
  readonly modifiedMs: number;
}

/** An object that is being read. */
export interface ObjectContent {
  /** Bytes. */
  readonly size: number;
  /**
   * To be iterated once; stop early with `break`. It ends after `size` bytes, and throws a StoreError when it would end
   * before: what was read to the end is whole. A chunk is valid until the next one is asked for.
   */
  readonly content: AsyncIterable<Uint8Array>;
}

export interface PutOptions {
  /** Bytes; content that is longer or shorter is refused. */
  readonly size: number;
  readonly signal: AbortSignal;
}

/**
 * Where snapshots are kept: a folder of objects by name. Names begin with a letter or digit, and hold these, `.`, `_`
 * and `-`; what begins with a dot is temporary and belongs to the adapter.
 *
 * Content streams in both directions at the pace of the slower side, with a few megabytes held; the memory of a chunk may
 * be used again as soon as the next one is asked for. Every wait has a limit (`StoreLimits`). Rejections are StoreErrors
 * without secrets, the signal's reason, or what `content` threw.
 * Adapters: nats, s3, webdav, sftp, file; `tests/contract` holds all to this contract.
 */
export interface SnapshotStore extends AsyncDisposable {
  /** Kind and place, for messages; no secret. */
  readonly description: string;

  /**
   * Stores a whole object of `size` bytes, in place of one of that name. Until it is complete, and after any failure, the old one is
   * there, whole. Leftovers of puts of that name that were killed are removed. After a transient failure at the very
   * end the new one may be there, whole as well.
   */
  put(name: string, content: AsyncIterable<Uint8Array>, options: PutOptions): Promise<void>;

  /** Undefined when there is no such object. The signal ends reading too. */
  get(name: string, signal: AbortSignal): Promise<ObjectContent | undefined>;

  /** All objects, in order of name. */
  list(signal: AbortSignal): Promise<StoredObject[]>;

  /**
   * Takes the place of `to`, in one step where the store has one (S3 copies and deletes, so that both may be there
   * after a failure). Rejects with the code NOT_FOUND when `from` is not there.
   */
  rename(from: string, to: string, signal: AbortSignal): Promise<void>;

  /** Nothing happens when it is not there. */
  delete(name: string, signal: AbortSignal): Promise<void>;
}

/** How an error begins: `Cannot put "snapshot.db" in folder "/backup"`. */
export function describeAction(verb: string, name: string | undefined, place: string): string {
  return name === undefined ? `Cannot ${verb} ${place}` : `Cannot ${verb} "${name}" in ${place}`;
}

const TEMPORARY = /^\.(.+)\.[0-9a-f]{16}\.part$/;

/** A name under which `name` is written until it is whole. */
export function temporaryName(name: string): string {
  return `.${name}.${crypto.getRandomValues(new Uint8Array(8)).toHex()}.part`;
}

/** Whether this is the temporary name of that object. */
export function isTemporaryNameOf(temporary: string, name: string): boolean {
  return TEMPORARY.exec(temporary)?.[1] === name;
}

/** Whether this can be the name of an object: neither a temporary one nor a stranger's. */
export function isObjectName(name: string): boolean {
  return /^[A-Za-z0-9][\w.-]*$/.test(name);
}

/** In order of name, the same with every store. */
export function sortedByName(objects: StoredObject[]): StoredObject[] {
  return objects.sort((a, b) => a.name < b.name ? -1 : 1);
}
