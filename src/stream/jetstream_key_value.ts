import type { PubAck, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { JetStreamApi, parseAnswer } from "./jetstream_api.ts";
import type { BucketSettings, BucketState, Entry, KeyValueStore } from "./key_value.ts";
import { Link } from "./link.ts";
import { Requests } from "./requests.ts";
import { API_ERROR, isApiError, toStreamError } from "./transience.ts";

/** The message is stored only if this is the sequence of the last one of its subject; 0: if there is none. */
const HEADER_REVISION = "Nats-Expected-Last-Subject-Sequence";

/** What a NATS server takes when it does not say, and room for the protocol around a value. */
const DEFAULT_MAX_PAYLOAD = 1 << 20;
const OVERHEAD_BYTES = 4096;

/**
 * A key-value bucket of JetStream: a stream `KV_<bucket>` that keeps the last message of each subject, as every NATS client
 * makes it. The connection stays its caller's.
 *
 * All is asked of the stream's leader. The client library (`@nats-io/kv`) lists keys through a consumer and reads values
 * from any replica, and either may not have yet what another node was told is stored.
 */
export class JetStreamKeyValue implements KeyValueStore, Disposable {
  readonly #connection: NatsConnection;
  readonly #settings: BucketSettings;
  readonly #stream: string;
  readonly #prefix: string;
  readonly #link: Link;
  readonly #requests: Requests;
  readonly #api: JetStreamApi;

  constructor(connection: NatsConnection, settings: BucketSettings) {
    this.#connection = connection;
    this.#settings = settings;
    this.#stream = `KV_${settings.bucket}`;
    this.#prefix = `$KV.${settings.bucket}.${settings.folder === "" ? "" : `${settings.folder}.`}`;
    this.#link = new Link(connection);
    this.#requests = new Requests(connection, this.#link);
    this.#api = new JetStreamApi(this.#requests);
  }

  get maxValueBytes(): number {
    return (this.#connection.info?.max_payload ?? DEFAULT_MAX_PAYLOAD) - OVERHEAD_BYTES;
  }

  async put(key: string, value: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#attempt(`Cannot put "${key}"`, signal, async () => {
      await this.#ensureBucket(signal);
      const answer = await this.#requests.request(`${this.#prefix}${key}`, value, { signal });
      parseAnswer<PubAck>(answer.string());
    });
  }

  async list(signal: AbortSignal): Promise<BucketState | undefined> {
    return await this.#attempt("Cannot list keys", signal, async () => {
      const info = await this.#find(signal, `${this.#prefix}*`);
      if (info === undefined) return undefined;
      const subjects = Object.keys(info.state.subjects ?? {});
      const keys = subjects.map((subject) => subject.slice(this.#prefix.length)).sort();
      return { created: info.created, revision: info.state.last_seq, keys };
    });
  }

  async get(key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    return (await this.entry(key, signal)).value;
  }

  async entry(key: string, signal: AbortSignal): Promise<Entry> {
    return await this.#attempt(`Cannot get "${key}"`, signal, async () => {
      const subject = `${this.#prefix}${key}`;
      const message = await this.#api.lastMessage(this.#stream, subject, signal).catch(unlessAbsent);
      if (message === undefined) return { value: undefined, revision: 0 };
      // A client that removes a key puts an empty message there, which says so in its header.
      const { data, sequence } = message;
      return { value: data.length === 0 ? undefined : data, revision: sequence };
    });
  }

  async replace(
    key: string,
    value: Uint8Array,
    revision: number,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    return await this.#attempt(`Cannot replace "${key}"`, signal, async () => {
      if (revision === 0 && await this.#find(signal) === undefined) {
        await this.#api.createStream(this.#config(), signal);
      }
      const header = headers();
      header.set(HEADER_REVISION, String(revision));
      const answer = await this.#requests.request(`${this.#prefix}${key}`, value, {
        signal,
        headers: header,
      });
      try {
        return parseAnswer<PubAck>(answer.string()).seq;
      } catch (error) {
        if (isApiError(error, ...API_ERROR.wrongRevision)) return undefined;
        throw error;
      }
    });
  }

  [Symbol.dispose](): void {
    this.#requests[Symbol.dispose]();
    this.#link[Symbol.dispose]();
  }

  /** The Go original lets what it puts into this bucket expire; a node's word counts for as long as it is away. */
  async #ensureBucket(signal: AbortSignal): Promise<void> {
    const info = await this.#find(signal);
    if (info === undefined) await this.#api.createStream(this.#config(), signal);
    else if (info.config.max_age > 0) await this.#api.updateStream({ ...info.config, max_age: 0 }, signal);
  }

  async #find(signal: AbortSignal, subjects?: string): Promise<StreamInfo | undefined> {
    return await this.#api.streamInfo(this.#stream, signal, subjects).catch(unlessAbsent);
  }

  #config(): Partial<StreamConfig> & { name: string } {
    return {
      name: this.#stream,
      subjects: [`$KV.${this.#settings.bucket}.>`],
      retention: "limits",
      discard: "new",
      storage: "file",
      max_msgs: -1,
      max_msgs_per_subject: 1,
      max_msg_size: -1,
      max_bytes: -1,
      max_age: 0,
      max_consumers: -1,
      num_replicas: this.#settings.replicas,
      allow_rollup_hdrs: true,
      allow_direct: true,
      deny_delete: true,
    };
  }

  async #attempt<T>(action: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      throw toStreamError(`${action} of bucket "${this.#settings.bucket}"`, error);
    }
  }
}

function unlessAbsent(error: unknown): undefined {
  if (!isApiError(error, API_ERROR.streamNotFound, API_ERROR.messageNotFound)) throw error;
}
