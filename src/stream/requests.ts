import {
  ClosedConnectionError,
  ConnectionError,
  createInbox,
  Empty,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  NoRespondersError,
  type PermissionViolationError,
  type Subscription,
  TimeoutError,
} from "@nats-io/transport-node";
import { parseHeaders } from "./delivery.ts";
import type { Link } from "./link.ts";

/** How long an answer may take, unless the owner says otherwise. */
const ANSWER_TIMEOUT_MS = 5_000;

/** Requests on their way; more wait here, in order. JetStream refuses a stream's 10,000th unstored message. */
const MAX_IN_FLIGHT = 2_048;
/** Likewise in bytes; one request may exceed it. */
const MAX_IN_FLIGHT_BYTES = 16 << 20;

interface Request {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: MsgHdrs | undefined;
  readonly resolve: (message: Msg) => void;
  readonly reject: (error: unknown) => void;
  deadline: number;
}

export interface RequestOptions {
  readonly headers?: MsgHdrs;
  /** Stops waiting for the answer. */
  readonly signal?: AbortSignal;
}

/**
 * Requests and their answers over one inbox.
 *
 * The library has this too. Here requests are sent in the order of the calls through a bounded window, one timer serves
 * all, and those on their way fail as soon as the connection is lost: their answers will never come, and waiting for
 * the time-out would hold up the repetition by seconds.
 */
export class Requests implements Disposable {
  readonly #connection: NatsConnection;
  readonly #link: Link;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #ignoreLink: () => void;
  readonly #answerTimeoutMs: number;
  readonly #waiting: Request[] = [];
  readonly #pending = new Map<string, Request>();
  #pendingBytes = 0;
  #serial = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(connection: NatsConnection, link: Link, answerTimeoutMs: number = ANSWER_TIMEOUT_MS) {
    this.#connection = connection;
    this.#link = link;
    this.#answerTimeoutMs = answerTimeoutMs;
    this.#inbox = createInbox();
    this.#subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => error === null ? this.#answer(message) : this.#failAll(error),
    });
    this.#ignoreLink = link.listen({
      disconnected: () => this.#failAll(this.#unconnected()),
      refused: (error) => this.#refuse(error),
    });
  }

  /**
   * Sends when the window allows and resolves to the answer. Rejects with an error of the client library: no
   * responders, time-out, connection lost, permission denied, too large. An answer that says "no" resolves.
   */
  request(subject: string, data: Uint8Array = Empty, options: RequestOptions = {}): Promise<Msg> {
    if (this.#closed || !this.#link.up) return Promise.reject(this.#unconnected());
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<Msg>();
    const request = { subject, data, headers: options.headers, resolve, reject, deadline: 0 };
    this.#waiting.push(request);
    this.#send();
    return options.signal === undefined ? promise : this.#abortable(promise, request, options.signal);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ignoreLink();
    this.#failAll(new ClosedConnectionError());
    if (!this.#connection.isClosed()) this.#subscription.unsubscribe();
  }

  #send(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#hasRoom(next); next = this.#waiting[0]) {
      this.#waiting.shift();
      const token = String(++this.#serial);
      next.deadline = performance.now() + this.#answerTimeoutMs;
      this.#pending.set(token, next);
      this.#pendingBytes += next.data.length;
      try {
        this.#connection.publish(next.subject, next.data, {
          reply: `${this.#inbox}.${token}`,
          ...next.headers === undefined ? {} : { headers: next.headers },
        });
      } catch (error) {
        this.#settle(token)?.reject(error);
      }
    }
    this.#arm();
  }

  #hasRoom(request: Request): boolean {
    return this.#pending.size === 0 ||
      (this.#pending.size < MAX_IN_FLIGHT &&
        this.#pendingBytes + request.data.length <= MAX_IN_FLIGHT_BYTES);
  }

  #answer(message: Msg): void {
    const request = this.#settle(message.subject.slice(this.#inbox.length + 1));
    if (request === undefined) return; // Given up already.
    if (message.data.length === 0 && parseHeaders(message)?.code === 503) {
      request.reject(new NoRespondersError(request.subject));
    } else {
      request.resolve(message);
    }
    this.#send();
  }

  #settle(token: string): Request | undefined {
    const request = this.#pending.get(token);
    if (request === undefined) return undefined;
    this.#pending.delete(token);
    this.#pendingBytes -= request.data.length;
    if (this.#pending.size === 0) this.#disarm();
    return request;
  }

  #failAll(error: unknown): void {
    const failed = [...this.#pending.values(), ...this.#waiting];
    this.#pending.clear();
    this.#waiting.length = 0;
    this.#pendingBytes = 0;
    this.#disarm();
    for (const request of failed) request.reject(error);
  }

  /** The server does not answer what it does not permit; it complains, naming the subject. */
  #refuse(error: PermissionViolationError): void {
    for (const [token, request] of [...this.#pending]) {
      if (error.operation === "publish" && request.subject === error.subject) {
        this.#settle(token)?.reject(error);
      }
    }
    this.#send();
  }

  #unconnected(): Error {
    return this.#closed || this.#link.closed
      ? new ClosedConnectionError()
      : new ConnectionError("connection lost");
  }

  #abortable(promise: Promise<Msg>, request: Request, signal: AbortSignal): Promise<Msg> {
    const onAbort = (): void => this.#abandon(request, signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    return promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  #abandon(request: Request, reason: unknown): void {
    const waiting = this.#waiting.indexOf(request);
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
    for (const [token, pending] of this.#pending) {
      if (pending === request) this.#settle(token);
    }
    request.reject(reason);
    this.#send();
  }

  /** The pending ones are in the order of their deadlines. */
  #arm(): void {
    const [oldest] = this.#pending.values();
    if (this.#timer !== undefined || oldest === undefined) return;
    this.#timer = setTimeout(() => this.#expire(), Math.max(0, oldest.deadline - performance.now()));
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #expire(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [token, request] of this.#pending) {
      if (request.deadline > now) break;
      this.#settle(token)?.reject(new TimeoutError());
    }
    this.#send();
  }
}
