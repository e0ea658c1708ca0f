import { Backoff } from "../lib/backoff.ts";
import { StreamError } from "../lib/errors.ts";
import { Mutex } from "../lib/mutex.ts";
import { pause, sleep } from "../lib/sleep.ts";
import type { Logger } from "../observe/logger.ts";
import type { BucketState, KeyValueStore } from "../stream/key_value.ts";
import { ClusterSchemas } from "./cluster_schemas.ts";
import type { Schema } from "./followed_tables.ts";
import { type AnnouncedSchema, decodeEntry, encodeEntry } from "./registry_entry.ts";

/** The bucket's name is documented. */
export const REGISTRY_BUCKET = "harmonylite-schema-registry";

/** More entries than this are no cluster: nothing is concluded from them. */
const MAX_NODES = 1_000;
/** How often a node looks whether its entry is still there: a server that lost its store comes back without. */
const CHECK_INTERVAL_MS = 2_000;
/** So long after it met a bucket for the first time a node concludes nothing from it: the others may still have to put theirs. */
const SETTLE_MS = 5_000;
/** Pauses between attempts to put an entry. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

const NODE_KEY = /^node-([1-9]\d{0,18})$/;

export interface SchemaRegistryOptions {
  readonly store: KeyValueStore;
  /** This node's id. */
  readonly node: bigint;
  readonly logger: Logger;
  /** Milliseconds since whenever; never goes back. */
  readonly now: () => number;
}

/**
 * Which tables and columns each node of the cluster has, told by the nodes themselves. It lets a node tell a change that
 * comes from a schema ahead of its own, for which it must wait, from one that nobody can have meant.
 */
export class SchemaRegistry {
  readonly #options: SchemaRegistryOptions;
  readonly #turn = new Mutex();
  readonly #ownKey: string;
  #announced: Schema | undefined;
  #saidReason: string | undefined;
  /** The bucket that was met, and when. */
  #met: { readonly created: string; readonly at: number } | undefined;

  constructor(options: SchemaRegistryOptions) {
    this.#options = options;
    this.#ownKey = `node-${options.node}`;
  }

  /**
   * Resolves when this node's entry says what `schema` says, which must be before any change captured under it is sent.
   * Tries for as long as it takes; rejects with the signal's reason when aborted.
   */
  async announce(schema: Schema, signal: AbortSignal): Promise<void> {
    if (schema === this.#announced) return;
    await this.#turn.run(async () => {
      if (schema === this.#announced) return;
      await this.#put(schema, signal);
      this.#announced = schema;
    });
  }

  /** Keeps this node's entry there. */
  async run({ signal, schema }: { signal: AbortSignal; schema: () => Schema }): Promise<void> {
    while (!signal.aborted) {
      await this.announce(schema(), signal);
      await this.#check(signal);
      await pause(CHECK_INTERVAL_MS, signal);
    }
  }

  /** What each node of the cluster has said last. Rejects with a StreamError when the registry cannot be reached. */
  announced(signal: AbortSignal): Promise<AnnouncedSchema[]> {
    return readAnnounced(this.#options.store, signal);
  }

  /**
   * The schemas of the cluster as they are now: `known` itself when they have not changed since.
   * Rejects with a StreamError when the registry cannot be reached.
   */
  async read(signal: AbortSignal, known?: ClusterSchemas): Promise<ClusterSchemas> {
    const { store } = this.#options;
    const state = await store.list(signal);
    if (state === undefined) return new ClusterSchemas("none", [], "there is no schema registry yet");
    const doubt = this.#doubt(state);
    const revision = JSON.stringify([state.created, state.revision, doubt]);
    if (known?.revision === revision) return known;
    return new ClusterSchemas(revision, await readEntries(store, state, signal), doubt);
  }

  /** Why what is missing in the registry proves nothing, if so. */
  #doubt({ created, keys }: BucketState): string | undefined {
    this.#meet(created);
    if (!keys.includes(this.#ownKey)) return "this node's own entry is not in the schema registry";
    if (keys.length > MAX_NODES) return `the schema registry has ${keys.length} entries`;
    const isNew = this.#options.now() - this.#met!.at < SETTLE_MS;
    return isNew ? "the schema registry was met a moment ago" : undefined;
  }

  /** Whether it is the bucket that was met before, if any was. */
  #meet(created: string): boolean {
    if (this.#met?.created === created) return true;
    const isFirst = this.#met === undefined;
    this.#met = { created, at: this.#options.now() };
    return isFirst;
  }

  async #put(schema: Schema, signal: AbortSignal): Promise<void> {
    const { store, node } = this.#options;
    const backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
    for (;;) {
      try {
        const entry = await store.get(this.#ownKey, signal);
        const before = entry && decodeEntry(`${node}`, entry);
        const terms = { updatedAt: new Date(), maxBytes: store.maxValueBytes, before };
        await store.put(this.#ownKey, encodeEntry(node, schema, terms), signal);
        this.#saidReason = undefined;
        return;
      } catch (error) {
        if (!(error instanceof StreamError)) throw error;
        this.#say(error);
      }
      await sleep(backoff.next(), signal);
    }
  }

  /** Said once for each reason: an outage may last for days. */
  #say({ message, hint }: StreamError): void {
    const level = this.#saidReason === message ? "debug" : "warn";
    this.#options.logger[level]("Unable to announce the schema, nothing is published before", {
      reason: message,
      hint,
    });
    this.#saidReason = message;
  }

  async #check(signal: AbortSignal): Promise<void> {
    try {
      const state = await this.#options.store.list(signal);
      const isThere = state !== undefined && this.#meet(state.created) && state.keys.includes(this.#ownKey);
      if (!isThere) this.#announced = undefined;
    } catch (error) {
      // The next one will tell; what ended everything has ended this loop as well.
      if (!(error instanceof StreamError) && !signal.aborted) throw error;
    }
  }
}

/** What each node has said last in the registry that `store` holds. Rejects with a StreamError when it cannot be reached. */
export async function readAnnounced(store: KeyValueStore, signal: AbortSignal): Promise<AnnouncedSchema[]> {
  const state = await store.list(signal);
  return state === undefined ? [] : await readEntries(store, state, signal);
}

async function readEntries(
  store: KeyValueStore,
  { keys }: BucketState,
  signal: AbortSignal,
): Promise<AnnouncedSchema[]> {
  const entries = await Promise.all(
    keys.slice(0, MAX_NODES).map(async (key) => {
      const node = NODE_KEY.exec(key)?.[1];
      const entry = node === undefined ? undefined : await store.get(key, signal);
      return entry === undefined ? [] : [decodeEntry(node!, entry)];
    }),
  );
  return entries.flat();
}
