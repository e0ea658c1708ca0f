import type { NatsConnection } from "@nats-io/transport-node";
import { StreamError, WireError } from "../lib/errors.ts";
import { ObjectBucket } from "../stream/object_bucket.ts";
import { judgeStreamFailure } from "../stream/transience.ts";
import {
  describeAction,
  isObjectName,
  type ObjectContent,
  type PutOptions,
  type SnapshotStore,
  sortedByName,
  type StoredObject,
} from "./store.ts";
import { damaged, notFound, STORE_FULL, type Verdict } from "./store_error.ts";
import { PieceCutter, STORE_LIMITS, type StoreLimits, Transfer } from "./transfer.ts";

export interface NatsStoreSettings {
  readonly connection: NatsConnection;
  readonly bucket: string;
  /** Of a bucket that has to be created. */
  readonly replicas: number;
}

/** Snapshots in an object bucket of JetStream, which the first put creates. The connection stays its caller's. */
export class NatsStore implements SnapshotStore {
  readonly description: string;
  readonly #bucket: ObjectBucket;
  readonly #limits: StoreLimits;

  constructor({ connection, bucket, replicas }: NatsStoreSettings, limits: StoreLimits = STORE_LIMITS) {
    this.#bucket = new ObjectBucket(connection, bucket, replicas);
    this.#limits = limits;
    this.description = `NATS object store "${bucket}"`;
  }

  async put(name: string, content: AsyncIterable<Uint8Array>, { size, signal }: PutOptions): Promise<void> {
    using transfer = this.#transfer("put", name, signal);
    const cutter = new PieceCutter(this.#bucket.chunkBytes);
    await transfer.run(() =>
      this.#bucket.put(name, cutter.cut(transfer.outgoing(content, size)), {
        onStored: (chunk) => cutter.giveBack(chunk),
        signal: transfer.signal,
      })
    );
  }

  async get(name: string, signal: AbortSignal): Promise<ObjectContent | undefined> {
    using transfer = this.#transfer("get", name, signal);
    const object = await transfer.run(() => this.#bucket.find(name, transfer.signal));
    if (object === undefined) return undefined;
    const content = transfer.incoming(this.#bucket.read(object, transfer.signal), object.size);
    return { size: object.size, content };
  }

  async list(signal: AbortSignal): Promise<StoredObject[]> {
    using transfer = this.#transfer("list", undefined, signal);
    const objects = await transfer.run(() => this.#bucket.list(transfer.signal));
    return sortedByName(
      objects.filter(({ name }) => isObjectName(name))
        .map(({ name, size, timeMs }) => ({ name, size, modifiedMs: timeMs })),
    );
  }

  async rename(from: string, to: string, signal: AbortSignal): Promise<void> {
    using transfer = this.#transfer("rename", from, signal);
    await transfer.run(async () => {
      if (await this.#bucket.rename(from, to, transfer.signal)) return;
      throw notFound(transfer.action);
    });
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    using transfer = this.#transfer("delete", name, signal);
    await transfer.run(() => this.#bucket.remove(name, transfer.signal));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#bucket[Symbol.dispose]();
    return Promise.resolve();
  }

  #transfer(verb: string, name: string | undefined, signal: AbortSignal): Transfer {
    const action = describeAction(verb, name, this.description);
    return new Transfer({ action, judge, limits: this.#limits, signal, leavesGarbage: true });
  }
}

function judge(error: unknown): Verdict | undefined {
  if (error instanceof WireError) return damaged(error.message);
  const verdict = error instanceof StreamError
    ? { code: error.code, transient: error.transient, wording: error.message }
    : judgeStreamFailure(error);
  return verdict.code === "RESOURCE_LIMIT" ? STORE_FULL : verdict;
}
