import { createInbox, type Msg, type NatsConnection, nuid, type Subscription } from "@nats-io/transport-node";
import { type Delivery, parseDelivery, parseHeaders, sizeOf } from "./delivery.ts";
import { type ConsumerSettings, deleteSubject, type JetStreamApi, pullSubject } from "./jetstream_api.ts";

/** How many messages one pull asks for. */
export const PULL_MESSAGES = 4_096;
/** How many bytes one pull asks for; at least a few of the largest messages. */
export const PULL_BYTES = 1 << 20;

/** The server ends a pull after this time; the next one follows at once. */
const PULL_EXPIRES_MS = 30_000;
/**
 * A pull that has nothing to deliver says so as often … A consumer lives on one server: in a cluster it is lost with that
 * server, and only this tells.
 */
const HEARTBEAT_MS = 2_000;
/** … and after silence for between one and two times this, the consumer is taken for lost. */
const SILENCE_LIMIT_MS = 2 * HEARTBEAT_MS;
/** The server forgets a consumer that nobody pulls from, such as that of a killed process. */
const INACTIVE_MS = 60_000;

const NANOS_PER_MS = 1_000_000;

/** What a session needs of its owner. */
export interface SessionOwner {
  /** A message in the order of this consumer. Returns false when the session is of no more use. */
  deliver(delivery: Delivery, message: Msg): boolean;
  /** Whether another pull may be sent: its messages will all be accepted. */
  hasRoom(): boolean;
}

/**
 * One ordered consumer: an ephemeral pull consumer, and the pulls that empty it. One pull is open at a time, and only
 * while its owner has room, so that a slow reader holds a bounded number of messages.
 *
 * Whatever goes wrong ends it: the owner looks at the stream and opens another one behind the last message it got.
 * (The library's ordered consumer repairs itself, but silently skips what was discarded, waits up to
 * half a minute after some failures, and leaves timers behind when stopped meanwhile.)
 */
export class PullSession implements Disposable {
  readonly #connection: NatsConnection;
  readonly #stream: string;
  readonly #owner: SessionOwner;
  readonly #name = `hl_${nuid.next()}`;
  readonly #inbox = createInbox();
  readonly #lost = Promise.withResolvers<unknown>();
  readonly #subscription: Subscription;
  #watchdog: ReturnType<typeof setInterval> | undefined;
  #consumerSequence = 0;
  /** What the server may still send. */
  #pull: { readonly inbox: string; messages: number; bytes: number } | undefined;
  #pulls = 0;
  #pullBytes: number;
  #heard = true;
  #ended = false;

  private constructor(connection: NatsConnection, stream: string, owner: SessionOwner) {
    this.#connection = connection;
    this.#stream = stream;
    this.#owner = owner;
    this.#pullBytes = PULL_BYTES;
    this.#subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => error === null ? this.#receive(message) : this.lose(error),
    });
  }

  /** Starts to deliver a stream, or one subject of it, from a sequence on. */
  static async open(
    connection: NatsConnection,
    api: JetStreamApi,
    request: { stream: string; subject?: string; from: number; owner: SessionOwner; signal: AbortSignal },
  ): Promise<PullSession> {
    const session = new PullSession(connection, request.stream, request.owner);
    try {
      const settings = consumerSettings(session.#name, request.from, request.subject);
      await api.createConsumer(request.stream, settings, request.signal);
    } catch (error) {
      session[Symbol.dispose]();
      throw error;
    }
    session.#watchdog = setInterval(() => session.#watch(), SILENCE_LIMIT_MS);
    session.pull();
    return session;
  }

  /** Resolves when the session is of no more use: to what went wrong, or undefined. */
  get lost(): Promise<unknown> {
    return this.#lost.promise;
  }

  lose(reason?: unknown): void {
    this.#lost.resolve(reason);
    this[Symbol.dispose]();
  }

  /** Asks for more when none is on its way and the owner has room. */
  pull(): void {
    if (this.#ended || this.#pull !== undefined || !this.#owner.hasRoom()) return;
    const inbox = `${this.#inbox}.${++this.#pulls}`;
    this.#pull = { inbox, messages: PULL_MESSAGES, bytes: this.#pullBytes };
    this.#heard = true;
    const request = {
      batch: PULL_MESSAGES,
      max_bytes: this.#pullBytes,
      expires: PULL_EXPIRES_MS * NANOS_PER_MS,
      idle_heartbeat: HEARTBEAT_MS * NANOS_PER_MS,
    };
    this.#send(pullSubject(this.#stream, this.#name), JSON.stringify(request), inbox);
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#watchdog);
    this.#lost.resolve(undefined);
    if (this.#connection.isClosed()) return;
    this.#subscription.unsubscribe();
    // Nobody waits for the answer: a consumer that stays is forgotten by the server after INACTIVE_MS.
    this.#send(deleteSubject(this.#stream, this.#name), "", `${this.#inbox}.deleted`);
  }

  #receive(message: Msg): void {
    if (this.#ended) return;
    this.#heard = true;
    if (message.subject.startsWith(this.#inbox)) return this.#receiveStatus(message);
    const delivery = parseDelivery(message.reply ?? "");
    if (delivery?.consumerSequence !== this.#consumerSequence + 1) return this.lose();
    this.#consumerSequence++;
    if (!this.#owner.deliver(delivery, message)) return this.lose();
    if (this.#pull !== undefined) this.#count(this.#pull, sizeOf(message));
  }

  /** The server ends a pull without a word when a message takes the last of what it may send, be it the last byte. */
  #count(pull: { messages: number; bytes: number }, bytes: number): void {
    pull.messages--;
    pull.bytes -= bytes;
    if (pull.messages === 0 || pull.bytes === 0) this.#endPull();
  }

  /** An empty message with a code like those of HTTP: about the pull in whose inbox it arrives. */
  #receiveStatus(message: Msg): void {
    const { code, description } = parseHeaders(message) ?? { code: 0, description: "" };
    if (message.subject !== this.#pull?.inbox || code === 100) return;
    const isPullEnd = code === 408 || code === 404 || /batch completed|maxbytes/i.test(description);
    if (!isPullEnd) return this.lose(new Error(`${code} ${description}`));
    if (/maxbytes/i.test(description) && this.#pull.messages === PULL_MESSAGES) this.#pullBytes *= 2;
    this.#endPull();
  }

  #endPull(): void {
    this.#pull = undefined;
    this.pull();
  }

  #watch(): void {
    if (this.#pull !== undefined && !this.#heard) this.lose(new Error("heartbeats missed"));
    this.#heard = false;
  }

  #send(subject: string, data: string, reply: string): void {
    try {
      this.#connection.publish(subject, data, { reply });
    } catch (error) {
      this.lose(error);
    }
  }
}

function consumerSettings(name: string, from: number, subject: string | undefined): ConsumerSettings {
  return {
    name,
    deliver_policy: "by_start_sequence",
    opt_start_seq: from,
    ...subject === undefined ? {} : { filter_subject: subject },
    ack_policy: "none",
    replay_policy: "instant",
    max_deliver: 1,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: INACTIVE_MS * NANOS_PER_MS,
  };
}
