import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { Backoff } from "../lib/backoff.ts";
import { StreamError } from "../lib/errors.ts";
import { sleep } from "../lib/sleep.ts";
import { type Delivery, toLogMessage } from "./delivery.ts";
import type { JetStreamApi } from "./jetstream_api.ts";
import type { Link } from "./link.ts";
import { MessageBuffer } from "./message_buffer.ts";
import { PULL_BYTES, PULL_MESSAGES, PullSession } from "./pull_session.ts";
import type { KnownPast, LogMessage } from "./replication_log.ts";
import { positionTruncated, streamRecreated, streamRolledBack } from "./stream_refusals.ts";
import { API_ERROR, isApiError, toStreamError } from "./transience.ts";

/** A reader that holds as much is not sent more until it has less: together with one pull this bounds its memory. */
const LOW_WATER_MESSAGES = PULL_MESSAGES / 2;
const LOW_WATER_BYTES = PULL_BYTES / 2;

/** Pauses between attempts to go on after a failure. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

/** A stream counts as gone when it was not found as often in a row: a cluster that restarts may be wrong at first. */
const NOT_FOUND_LIMIT = 4;

/** What a reader needs of the log it belongs to. */
export interface ReaderContext {
  readonly connection: NatsConnection;
  readonly link: Link;
  readonly api: JetStreamApi;
}

/** What to read; see `ReplicationLog.read`. */
interface Beginning {
  readonly stream: string;
  readonly from: number;
  readonly known: KnownPast | undefined;
}

/** Reads one stream; see `ReplicationLog.read`. */
export async function* readStream(
  context: ReaderContext,
  beginning: Beginning,
  signal: AbortSignal,
): AsyncGenerator<readonly LogMessage[]> {
  if (signal.aborted) return;
  const reader = new StreamReader(context, beginning);
  const stop = new AbortController();
  const onAbort = (): void => {
    reader.buffer.end();
    stop.abort();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  const running = reader.run(stop.signal);
  try {
    yield* reader.buffer;
  } finally {
    signal.removeEventListener("abort", onAbort);
    stop.abort();
    await running;
  }
}

class StreamReader {
  readonly buffer = new MessageBuffer(() => this.#session?.pull());
  readonly #context: ReaderContext;
  readonly #stream: string;
  readonly #backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
  /** The sequence that must come next: everything below is in the buffer or was handed on. */
  #next: number;
  /** Creation time of the stream that is read. */
  #created: string | undefined;
  /** When the newest message that was read was stored, Unix nanoseconds; 0 while that is not known. */
  #newestNs: bigint;
  #notFound = 0;
  #session: PullSession | undefined;

  constructor(context: ReaderContext, { stream, from, known }: Beginning) {
    this.#context = context;
    this.#stream = stream;
    this.#created = known?.created;
    this.#newestNs = known?.timeNs ?? 0n;
    this.#next = Math.max(1, from);
  }

  /** Fills the buffer until aborted, or until the stream cannot be read any more: then the buffer gets the error. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await this.#readOnce(signal);
        await sleep(this.#backoff.next(), signal);
      }
    } catch (error) {
      if (!signal.aborted) this.buffer.fail(error);
    }
  }

  /** Reads until something fails. Returns when it may be tried again and throws when not. */
  async #readOnce(signal: AbortSignal): Promise<void> {
    try {
      await this.#context.link.waitUntilUp(signal);
      await this.#verify(signal);
      await this.#consume(signal);
    } catch (error) {
      signal.throwIfAborted();
      const failure = toStreamError(`Cannot read stream "${this.#stream}"`, error);
      if (!failure.transient) throw failure;
    }
  }

  /** The stream is the one that was read so far, and still holds the next message. */
  async #verify(signal: AbortSignal): Promise<void> {
    const info = await this.#lookUp(signal);
    this.#created ??= info.created;
    if (info.created !== this.#created) {
      throw streamRecreated(this.#stream, this.#next, `created anew at ${info.created}`);
    }
    const { first_seq, last_seq } = info.state;
    if (last_seq < this.#next - 1) {
      throw streamRecreated(this.#stream, this.#next, `its last message is ${last_seq}`);
    }
    if (first_seq > this.#next) throw positionTruncated(this.#stream, this.#next, first_seq);
  }

  async #lookUp(signal: AbortSignal): ReturnType<JetStreamApi["streamInfo"]> {
    try {
      const info = await this.#context.api.streamInfo(this.#stream, signal);
      this.#notFound = 0;
      return info;
    } catch (error) {
      if (!isApiError(error, API_ERROR.streamNotFound)) throw error;
      if (++this.#notFound >= NOT_FOUND_LIMIT) {
        throw streamRecreated(this.#stream, this.#next, "it was deleted", error);
      }
      const action = `Cannot read stream "${this.#stream}"`;
      throw new StreamError("STREAM_NOT_FOUND", `${action}: not found`, { transient: true, cause: error });
    }
  }

  async #consume(signal: AbortSignal): Promise<void> {
    const { connection, api, link } = this.#context;
    const start = this.#next;
    using session = await PullSession.open(connection, api, {
      stream: this.#stream,
      from: start > 1 && this.#newestNs > 0n ? start - 1 : start, // The last one once more: see #deliver.
      owner: {
        deliver: (delivery, message) => this.#deliver(delivery, message),
        hasRoom: () => this.#hasRoom(),
      },
      signal,
    });
    this.#session = session;
    const onAbort = (): void => session.lose(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const ignoreLink = link.listen({ disconnected: () => session.lose() });
    // What happened while the consumer was being created.
    if (signal.aborted || !link.up) session.lose();
    await session.lost;
    ignoreLink();
    signal.removeEventListener("abort", onAbort);
    this.#session = undefined;
    if (this.#next > start) this.#backoff.reset();
  }

  #hasRoom(): boolean {
    return this.buffer.count <= LOW_WATER_MESSAGES && this.buffer.bytes <= LOW_WATER_BYTES;
  }

  /**
   * JetStream starts at the first message it still has, without a word, when the one asked for was discarded.
   * Nothing else leaves a gap, as `deny_delete` is set; so a gap is how that is noticed while reading.
   *
   * The message before the first one tells whether this is the stream that was read. In an older copy that has grown anew it
   * was stored later than all that was read.
   */
  #deliver(delivery: Delivery, message: Msg): boolean {
    if (delivery.streamSequence === this.#next - 1) {
      if (delivery.timeNs <= this.#newestNs) return true;
      this.buffer.fail(streamRolledBack(this.#stream, this.#next));
      return false;
    }
    if (delivery.streamSequence !== this.#next) {
      if (delivery.streamSequence > this.#next) {
        this.buffer.fail(positionTruncated(this.#stream, this.#next, delivery.streamSequence));
      }
      return false;
    }
    this.#next++;
    if (delivery.timeNs > this.#newestNs) this.#newestNs = delivery.timeNs;
    this.buffer.push(toLogMessage(message, delivery));
    return true;
  }
}
