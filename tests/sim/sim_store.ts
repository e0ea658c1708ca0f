import { type ObjectContent, type PutOptions, sortedByName } from "../../src/snapshot/store.ts";
import type { SnapshotStore, StoredObject } from "../../src/snapshot/store.ts";
import { notFound, StoreError } from "../../src/snapshot/store_error.ts";
import type { Gates } from "./gates.ts";

/** What a store holds, by name. */
export type SimObjects = Map<string, { readonly bytes: Uint8Array; readonly modifiedMs: number }>;

export interface SimStoreOptions {
  readonly objects: SimObjects;
  /** Where the process waits that uses the store; undefined: nothing is waited for, and nothing fails. */
  readonly gates: Gates | undefined;
  /** Whether the process can reach nobody at this moment. */
  readonly isCut: () => boolean;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** The snapshot store of a cluster as one process sees it: each thing that it does there waits at a gate, and may fail. */
export class SimStore implements SnapshotStore {
  readonly description = "the store of the simulation";
  readonly #options: SimStoreOptions;

  constructor(options: SimStoreOptions) {
    this.#options = options;
  }

  async put(name: string, content: AsyncIterable<Uint8Array>, { size, signal }: PutOptions): Promise<void> {
    const bytes = new Uint8Array(size);
    let length = 0;
    for await (const chunk of content) {
      bytes.set(chunk, length);
      length += chunk.length;
    }
    if (length !== size) throw new Error(`${size} bytes were announced, ${length} came`);
    const { objects, now } = this.#options;
    await this.#do("put", signal, () => void objects.set(name, { bytes, modifiedMs: now() }));
  }

  async get(name: string, signal: AbortSignal): Promise<ObjectContent | undefined> {
    const found = await this.#do("get", signal, () => this.#options.objects.get(name));
    return found && { size: found.bytes.length, content: once(found.bytes) };
  }

  list(signal: AbortSignal): Promise<StoredObject[]> {
    return this.#do("list", signal, () => {
      const all = [...this.#options.objects].map(([name, { bytes, modifiedMs }]) => ({
        name,
        size: bytes.length,
        modifiedMs,
      }));
      return sortedByName(all);
    });
  }

  rename(from: string, to: string, signal: AbortSignal): Promise<void> {
    return this.#do("rename", signal, () => {
      const { objects } = this.#options;
      const found = objects.get(from);
      if (!found) throw notFound(`Cannot rename "${from}" in ${this.description}`);
      objects.delete(from);
      objects.set(to, found);
    });
  }

  delete(name: string, signal: AbortSignal): Promise<void> {
    return this.#do("delete", signal, () => void this.#options.objects.delete(name));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** A transient failure may mean that it was done all the same. */
  async #do<T>(verb: string, signal: AbortSignal, work: () => T): Promise<T> {
    const { gates, isCut } = this.#options;
    const { fault } = await gates?.wait("object") ?? {};
    signal.throwIfAborted();
    if (isCut() || (fault !== undefined && fault !== "lose-acknowledgement")) throw this.#lost(verb);
    const result = work();
    if (fault !== undefined) throw this.#lost(verb);
    return result;
  }

  #lost(verb: string): StoreError {
    const text = `Cannot ${verb} in ${this.description}: the connection was cut`;
    return new StoreError("CONNECTION_LOST", text, { transient: true });
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
