import { StreamError } from "../lib/errors.ts";
import type {
  KnownPast,
  LogMessage,
  OutgoingMessage,
  PublishAck,
  ReplicationLog,
  StreamSettings,
  StreamState,
} from "./replication_log.ts";
import { differencesOf, DUPLICATE_WINDOW_MS, shardOf, streamNameOf, subjectOf } from "./stream_layout.ts";
import { positionTruncated, streamRecreated, streamRolledBack } from "./stream_refusals.ts";

/** What goes wrong with one publication. Each rejects with a transient error. */
export type PublishFault =
  /** It never arrives. */
  | "lose-message"
  /** It is stored, but the publisher does not hear of it. */
  | "lose-acknowledgement"
  /** It arrives when {@link MemoryBroker.deliverLate} is called, perhaps behind its own repetition. */
  | "delay-message";

export interface MemoryBrokerOptions {
  /** The clock of the broker, Unix nanoseconds. Default: the system's. */
  readonly now?: () => bigint;
  readonly duplicateWindowMs?: number;
  readonly maxPayload?: number;
}

interface Stream {
  readonly name: string;
  readonly subject: string;
  readonly created: string;
  maxEntries: number;
  replicas: number;
  first: number;
  last: number;
  readonly messages: Map<number, LogMessage>;
  /** By message id, in the order of arrival. */
  readonly ids: Map<string, { sequence: number; timeNs: bigint }>;
}

/**
 * Streams in memory, for tests and the simulation, with JetStream's behaviour as far as the contract shows it. Nothing
 * happens by itself: there are no timers and no randomness, so the same calls in the same order give the same result.
 */
export class MemoryBroker {
  readonly maxPayload: number;
  readonly #now: () => bigint;
  readonly #windowNs: bigint;
  readonly #streams = new Map<string, Stream>();
  readonly #wakers = new Set<() => void>();
  readonly #late: (() => void)[] = [];
  #lastCreatedNs = 0n;

  constructor(options: MemoryBrokerOptions = {}) {
    this.#now = options.now ?? ((): bigint => BigInt(Date.now()) * 1_000_000n);
    this.#windowNs = BigInt(options.duplicateWindowMs ?? DUPLICATE_WINDOW_MS) * 1_000_000n;
    this.maxPayload = options.maxPayload ?? 1 << 20;
  }

  /** A node's connection to the broker. */
  connect(settings: StreamSettings, onDifference?: (text: string) => void): MemoryLog {
    return new MemoryLog(this, settings, onDifference);
  }

  list(): readonly Stream[] {
    return [...this.#streams.values()];
  }

  find(name: string): Stream | undefined {
    return this.#streams.get(name);
  }

  create(name: string, subject: string, settings: { maxEntries: number; replicas: number }): Stream {
    if (this.#streams.has(name) || this.list().some((stream) => stream.subject === subject)) {
      throw refuse("JETSTREAM_REFUSED", `Failed to create stream "${name}": name or subject already in use`);
    }
    const stream: Stream = {
      name,
      subject,
      created: this.#creationTime(),
      maxEntries: settings.maxEntries,
      replicas: settings.replicas,
      first: 1,
      last: 0,
      messages: new Map(),
      ids: new Map(),
    };
    this.#streams.set(name, stream);
    this.wake();
    return stream;
  }

  store(subject: string, message: OutgoingMessage): PublishAck {
    const stream = this.list().find((candidate) => candidate.subject === subject);
    if (stream === undefined) {
      throw lose("NO_RESPONDERS", `Cannot publish to "${subject}": No responders available: no such stream`);
    }
    const timeNs = this.#now();
    this.#forgetIds(stream, timeNs);
    const known = stream.ids.get(message.id);
    if (known !== undefined) return { stream: stream.name, sequence: known.sequence, duplicate: true };
    const sequence = ++stream.last;
    stream.ids.set(message.id, { sequence, timeNs });
    const { headers, data } = message;
    stream.messages.set(sequence, {
      stream: stream.name,
      sequence,
      timeNs,
      headers: new Map(headers),
      data: new Uint8Array(data),
    });
    this.truncate(stream.name, sequence - stream.maxEntries + 1);
    return { stream: stream.name, sequence, duplicate: false };
  }

  /** Discards the messages below `first`, as a full stream does. */
  truncate(name: string, first: number): void {
    const stream = this.#streams.get(name);
    if (stream === undefined) return;
    while (stream.first < Math.min(first, stream.last + 1)) stream.messages.delete(stream.first++);
    this.wake();
  }

  /** Puts an older copy of a stream in its place. */
  rollBack(name: string, last: number): void {
    const stream = this.#streams.get(name)!;
    for (; stream.last > last; stream.last--) stream.messages.delete(stream.last);
    for (const [id, { sequence }] of stream.ids) if (sequence > last) stream.ids.delete(id);
    this.wake();
  }

  setLimits(name: string, settings: { maxEntries: number; replicas: number }): void {
    const stream = this.#streams.get(name);
    if (stream === undefined) return;
    stream.maxEntries = settings.maxEntries;
    stream.replicas = settings.replicas;
    this.truncate(name, stream.last - stream.maxEntries + 1);
  }

  delete(name: string): void {
    this.#streams.delete(name);
    this.wake();
  }

  /** Deletes a stream and creates it anew: empty, with another creation time. */
  recreate(name: string): void {
    const old = this.#streams.get(name);
    if (old === undefined) return;
    this.#streams.delete(name);
    this.create(name, old.subject, old);
  }

  /** Lets the delayed messages arrive, in the order in which they were published. */
  deliverLate(): void {
    for (const arrive of this.#late.splice(0)) arrive();
  }

  delay(arrive: () => void): void {
    this.#late.push(arrive);
  }

  /** Resolves at the next change of anything, or when aborted. */
  changed(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const onAbort = (): void => resolve();
    this.#wakers.add(resolve);
    signal.addEventListener("abort", onAbort, { once: true });
    return promise.finally(() => {
      this.#wakers.delete(resolve);
      signal.removeEventListener("abort", onAbort);
    });
  }

  wake(): void {
    for (const wake of this.#wakers) wake();
    this.#wakers.clear();
  }

  #forgetIds(stream: Stream, nowNs: bigint): void {
    for (const [id, { timeNs }] of stream.ids) {
      if (nowNs - timeNs < this.#windowNs) break;
      stream.ids.delete(id);
    }
  }

  /** No two alike, as creation times tell streams apart. */
  #creationTime(): string {
    const now = this.#now();
    this.#lastCreatedNs = now > this.#lastCreatedNs ? now : this.#lastCreatedNs + 1n;
    const [seconds, nanos] = [this.#lastCreatedNs / 1_000_000_000n, this.#lastCreatedNs % 1_000_000_000n];
    const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
    return `${date}.${String(nanos).padStart(9, "0")}Z`;
  }
}

/** One node's view of a {@link MemoryBroker}. */
export class MemoryLog implements ReplicationLog {
  readonly #broker: MemoryBroker;
  readonly #settings: StreamSettings;
  readonly #onDifference: ((text: string) => void) | undefined;
  readonly #toldDifferences = new Set<string>();
  readonly #faults: PublishFault[] = [];
  readonly #closed = new AbortController();
  #connected = true;

  constructor(broker: MemoryBroker, settings: StreamSettings, onDifference?: (text: string) => void) {
    this.#broker = broker;
    this.#settings = settings;
    this.#onDifference = onDifference;
  }

  get maxPayload(): number {
    return this.#broker.maxPayload;
  }

  /** The next publications of this node go wrong like this, one each. */
  failNextPublish(...faults: readonly PublishFault[]): void {
    this.#faults.push(...faults);
  }

  /** While this node is cut off its calls reject and its readers get nothing. */
  setConnected(connected: boolean): void {
    this.#connected = connected;
    this.#broker.wake();
  }

  // deno-lint-ignore require-await -- what it throws must reject
  async ensureStreams(): Promise<StreamState[]> {
    this.#requireConnection("Cannot list the streams");
    for (let shard = 1; shard <= this.#settings.shards; shard++) {
      const subject = subjectOf(this.#settings, shard);
      if (this.#broker.list().some((stream) => stream.subject === subject)) continue;
      this.#broker.create(streamNameOf(this.#settings, shard), subject, this.#settings);
    }
    for (const [, stream] of this.#ours()) this.#reconcile(stream);
    return this.#states();
  }

  // deno-lint-ignore require-await -- what it throws must reject
  async streams(): Promise<StreamState[]> {
    this.#requireConnection("Cannot list the streams");
    return this.#states();
  }

  // deno-lint-ignore require-await -- what it throws must reject
  async publish(shard: number, message: OutgoingMessage): Promise<PublishAck> {
    const subject = subjectOf(this.#settings, shard);
    this.#requireConnection(`Cannot publish to "${subject}"`);
    if (sizeOf(message) > this.maxPayload) {
      throw refuse("MESSAGE_TOO_LARGE", `Cannot publish to "${subject}": max_payload size exceeded`);
    }
    const fault = this.#faults.shift();
    if (fault === undefined) return this.#broker.store(subject, message);
    if (fault === "lose-acknowledgement") this.#broker.store(subject, message);
    if (fault === "delay-message") this.#delay(subject, message);
    throw lose("TIMEOUT", `Cannot publish to "${subject}": timeout`);
  }

  async *read(
    stream: string,
    from: number,
    signal: AbortSignal,
    known?: KnownPast,
  ): AsyncGenerator<readonly LogMessage[]> {
    const ended = AbortSignal.any([signal, this.#closed.signal]);
    let { created, timeNs } = known ?? { created: this.#broker.find(stream)?.created, timeNs: 0n };
    for (let next = Math.max(1, from); !ended.aborted;) {
      const message = this.#connected ? this.#nextMessage(stream, { created, timeNs }, next) : undefined;
      if (message === undefined) await this.#broker.changed(ended);
      else {
        next++;
        if (message.timeNs > timeNs) timeNs = message.timeNs;
        yield [message];
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    return Promise.resolve();
  }

  #nextMessage(
    name: string,
    { created, timeNs }: { readonly created: string | undefined; readonly timeNs: bigint },
    next: number,
  ): LogMessage | undefined {
    const stream = this.#broker.find(name);
    if (stream === undefined) throw streamRecreated(name, next, "it was deleted");
    if (stream.created !== created) {
      throw streamRecreated(name, next, `created anew at ${stream.created}`);
    }
    if (stream.last < next - 1) throw streamRecreated(name, next, `its last message is ${stream.last}`);
    if (stream.first > next) throw positionTruncated(name, next, stream.first);
    const last = stream.messages.get(next - 1);
    if (last && timeNs > 0n && last.timeNs > timeNs) throw streamRolledBack(name, next);
    return stream.messages.get(next);
  }

  #delay(subject: string, message: OutgoingMessage): void {
    const copy = { ...message, data: new Uint8Array(message.data) };
    this.#broker.delay(() => {
      if (this.#broker.list().some((stream) => stream.subject === subject)) {
        this.#broker.store(subject, copy);
      }
    });
  }

  #reconcile(stream: Stream): void {
    const { name, maxEntries, replicas } = stream;
    const differences = differencesOf(this.#settings, { name, max_msgs: maxEntries, num_replicas: replicas });
    if (this.#settings.updateExisting) return this.#broker.setLimits(name, this.#settings);
    for (const text of differences) {
      if (!this.#toldDifferences.has(text)) this.#onDifference?.(text);
      this.#toldDifferences.add(text);
    }
  }

  #ours(): [number, Stream][] {
    const found: [number, Stream][] = [];
    for (const stream of this.#broker.list()) {
      const shard = shardOf(this.#settings, [stream.subject]);
      if (shard !== undefined) found.push([shard, stream]);
    }
    return found.sort(([a], [b]) => a - b);
  }

  #states(): StreamState[] {
    return this.#ours().map(([shard, { name, created, first, last }]) => ({
      name,
      shard,
      created,
      first,
      last,
    }));
  }

  #requireConnection(action: string): void {
    if (this.#closed.signal.aborted) {
      throw refuse("CONNECTION_CLOSED", `${action}: closed connection`);
    }
    if (!this.#connected) throw lose("NOT_CONNECTED", `${action}: connection lost`);
  }
}

/** The size that counts against `maxPayload`: payload and encoded headers, the id among them. */
function sizeOf(message: OutgoingMessage): number {
  let size = "NATS/1.0\r\n\r\n".length + `Nats-Msg-Id: ${message.id}\r\n`.length + message.data.length;
  for (const [name, value] of message.headers) size += `${name}: ${value}\r\n`.length;
  return size;
}

function lose(code: string, message: string): StreamError {
  return new StreamError(code, message, { transient: true });
}

function refuse(code: string, message: string): StreamError {
  return new StreamError(code, message, { transient: false });
}
