import {
  createInbox,
  Empty,
  headers,
  type Msg,
  type NatsConnection,
  type Subscription,
} from "@nats-io/transport-node";
import { messageOf, StreamError } from "../lib/errors.ts";
import type { Peer, PeerHandler, Peers } from "./peers.ts";

const HEADER_PART = "part";
const HEADER_ERROR = "error";
/** Room for headers in a message. */
const OVERHEAD_BYTES = 1024;
/** The largest answer that is taken. */
const MAX_ANSWER_BYTES = 256 << 20;
/** Requests that are worked on at once; more are not answered, and whoever asked tries again. */
const MAX_CONCURRENT = 16;
const NO_RESPONDERS = 503;

/** Requests between nodes over NATS subjects `<prefix>-peers` (all) and `<prefix>-peers.<instance>` (one). */
export class NatsPeers implements Peers {
  readonly #connection: NatsConnection;
  readonly #subject: string;

  constructor(connection: NatsConnection, subjectPrefix: string) {
    this.#connection = connection;
    this.#subject = `${subjectPrefix}-peers`;
  }

  async find({ timeoutMs, until, signal }: Parameters<Peers["find"]>[0]): Promise<Peer[]> {
    const found: Peer[] = [];
    const inbox = createInbox();
    const subscription = this.#connection.subscribe(inbox);
    this.#connection.publish(this.#subject, Empty, { reply: inbox });
    for await (const message of messagesOf(subscription, timeoutMs, signal)) {
      if (isNobody(message)) break;
      const [node, instance] = message.string().split(" ");
      if (/^\d+$/.test(node ?? "") && instance) found.push({ node: BigInt(node!), instance });
      if (found.at(-1)?.node === until) break;
    }
    signal.throwIfAborted();
    return found.sort((a, b) => a.node < b.node ? -1 : a.node > b.node ? 1 : 0);
  }

  async ask(
    peer: Peer,
    request: Uint8Array,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
  ): Promise<Uint8Array> {
    const inbox = createInbox();
    const subscription = this.#connection.subscribe(inbox);
    this.#connection.publish(`${this.#subject}.${peer.instance}`, request, { reply: inbox });
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const message of messagesOf(subscription, timeoutMs, signal)) {
      if (isNobody(message)) throw gone(peer, "it does not run any more");
      const failure = message.headers?.get(HEADER_ERROR);
      if (failure) throw gone(peer, failure);
      parts.push(message.data);
      size += message.data.length;
      if (size > MAX_ANSWER_BYTES) throw gone(peer, `its answer exceeds ${MAX_ANSWER_BYTES} bytes`);
      if (message.headers?.get(HEADER_PART) === "last") return joined(parts, size);
    }
    signal.throwIfAborted();
    throw gone(peer, `no answer within ${timeoutMs} ms`);
  }

  async serve(peer: Peer, handler: PeerHandler, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const hello = new TextEncoder().encode(`${peer.node} ${peer.instance}`);
    const everybody = this.#connection.subscribe(this.#subject, {
      callback: (_error, message) => void message?.respond(hello),
    });
    const own = this.#connection.subscribe(`${this.#subject}.${peer.instance}`);
    const stop = (): void => {
      everybody.unsubscribe();
      own.unsubscribe();
    };
    signal.addEventListener("abort", stop, { once: true });
    const working = new Set<Promise<void>>();
    for await (const message of own) {
      if (working.size >= MAX_CONCURRENT) continue;
      const work: Promise<void> = this.#answer(message, handler).finally(() => working.delete(work));
      working.add(work);
    }
    await Promise.all(working);
  }

  async #answer(message: Msg, handler: PeerHandler): Promise<void> {
    const header = headers();
    try {
      const answer = await handler(message.data);
      const size = this.#connection.info!.max_payload - OVERHEAD_BYTES;
      for (let start = 0; start + size < answer.length; start += size) {
        message.respond(answer.subarray(start, start + size));
      }
      header.set(HEADER_PART, "last");
      message.respond(answer.subarray(answer.length - lastPart(answer.length, size)), { headers: header });
    } catch (error) {
      // Header values are one line.
      header.set(HEADER_ERROR, messageOf(error).replaceAll(/\s+/g, " ").slice(0, 500));
      message.respond(Empty, { headers: header });
    }
  }
}

function lastPart(length: number, size: number): number {
  return length === 0 ? 0 : (length - 1) % size + 1;
}

/** The messages of a subscription until none has come for so long, or the signal is aborted; it is ended in any case. */
async function* messagesOf(
  subscription: Subscription,
  timeoutMs: number,
  signal: AbortSignal,
): AsyncGenerator<Msg> {
  const end = (): void => subscription.unsubscribe();
  let timer = setTimeout(end, timeoutMs);
  signal.addEventListener("abort", end, { once: true });
  try {
    for await (const message of subscription) {
      clearTimeout(timer);
      timer = setTimeout(end, timeoutMs);
      yield message;
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    end();
  }
}

/** The server's own answer when nobody listens. */
function isNobody(message: Msg): boolean {
  return message.data.length === 0 && message.headers?.code === NO_RESPONDERS;
}

function gone(peer: Peer, why: string): StreamError {
  return new StreamError("PEER_UNAVAILABLE", `Cannot ask node ${peer.node}: ${why}`, { transient: true });
}

function joined(parts: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}
