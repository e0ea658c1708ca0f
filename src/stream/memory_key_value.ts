import { StreamError } from "../lib/errors.ts";
import type { BucketSettings, BucketState, Entry, KeyValueStore } from "./key_value.ts";

interface Bucket {
  readonly created: string;
  revision: number;
  readonly values: Map<string, { readonly value: Uint8Array; readonly revision: number }>;
}

/** Buckets in memory, for tests and the simulation. */
export class MemoryBuckets {
  readonly #buckets = new Map<string, Bucket>();
  #created = 0;

  /** A node's connection. */
  connect(settings: BucketSettings, maxValueBytes = 1 << 20): MemoryKeyValue {
    return new MemoryKeyValue(this, settings, maxValueBytes);
  }

  find(name: string): Bucket | undefined {
    return this.#buckets.get(name);
  }

  ensure(name: string): Bucket {
    let bucket = this.#buckets.get(name);
    if (!bucket) {
      bucket = { created: String(++this.#created), revision: 0, values: new Map() };
      this.#buckets.set(name, bucket);
    }
    return bucket;
  }

  delete(name: string): void {
    this.#buckets.delete(name);
  }
}

/** One node's view of some {@link MemoryBuckets}. */
export class MemoryKeyValue implements KeyValueStore {
  readonly maxValueBytes: number;
  readonly #buckets: MemoryBuckets;
  readonly #bucket: string;
  readonly #prefix: string;
  #connected = true;

  constructor(buckets: MemoryBuckets, { bucket, folder }: BucketSettings, maxValueBytes: number) {
    this.maxValueBytes = maxValueBytes;
    this.#buckets = buckets;
    this.#bucket = bucket;
    this.#prefix = folder === "" ? "" : `${folder}.`;
  }

  /** While this node is cut off its calls reject. */
  setConnected(connected: boolean): void {
    this.#connected = connected;
  }

  // deno-lint-ignore require-await -- what it throws must reject
  async put(key: string, value: Uint8Array, signal: AbortSignal): Promise<void> {
    this.#require(signal);
    this.#put(key, value);
  }

  // deno-lint-ignore require-await -- what it throws must reject
  async list(signal: AbortSignal): Promise<BucketState | undefined> {
    this.#require(signal);
    const bucket = this.#buckets.find(this.#bucket);
    if (!bucket) return undefined;
    const keys = [...bucket.values.keys()]
      .filter((key) => key.startsWith(this.#prefix))
      .map((key) => key.slice(this.#prefix.length))
      .filter((key) => !key.includes("."))
      .sort();
    return { created: bucket.created, revision: bucket.revision, keys };
  }

  // deno-lint-ignore require-await -- what it throws must reject
  async get(key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    this.#require(signal);
    return this.#find(key).value;
  }

  // deno-lint-ignore require-await -- what it throws must reject
  async entry(key: string, signal: AbortSignal): Promise<Entry> {
    this.#require(signal);
    return this.#find(key);
  }

  // deno-lint-ignore require-await -- what it throws must reject
  async replace(
    key: string,
    value: Uint8Array,
    revision: number,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    this.#require(signal);
    return this.#find(key).revision === revision ? this.#put(key, value) : undefined;
  }

  #find(key: string): Entry {
    const found = this.#buckets.find(this.#bucket)?.values.get(this.#prefix + key);
    if (found === undefined) return { value: undefined, revision: 0 };
    return { ...found, value: found.value.length === 0 ? undefined : found.value };
  }

  #put(key: string, value: Uint8Array): number {
    if (value.length > this.maxValueBytes) {
      throw new StreamError("MESSAGE_TOO_LARGE", `Cannot put "${key}": too large`, { transient: false });
    }
    const bucket = this.#buckets.ensure(this.#bucket);
    bucket.values.set(this.#prefix + key, { value: new Uint8Array(value), revision: ++bucket.revision });
    return bucket.revision;
  }

  #require(signal: AbortSignal): void {
    signal.throwIfAborted();
    if (this.#connected) return;
    throw new StreamError("NOT_CONNECTED", "Cannot reach the bucket: connection lost", { transient: true });
  }
}
