import type { Msg, MsgHdrs } from "@nats-io/transport-node";
import { HEADER_BATCH, HEADER_PART, type LogMessage } from "./replication_log.ts";

/** What JetStream says about a message it delivers, in the reply subject of the message. */
export interface Delivery {
  readonly stream: string;
  /** Position in the stream. */
  readonly streamSequence: number;
  /** Position in what this consumer was sent, from 1: a jump means that the connection lost some. */
  readonly consumerSequence: number;
  /** Unix nanoseconds; the library's own parsing makes a rounded number of it. */
  readonly timeNs: bigint;
}

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>`, and the
 * longer form with domain and account before the stream (and more after the end). Undefined when it is neither.
 */
export function parseDelivery(reply: string): Delivery | undefined {
  const tokens = reply.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK" || tokens.length < 9) return undefined;
  const at = tokens.length >= 11 ? 4 : 2;
  const [stream, , , streamSequence, consumerSequence, time] = tokens.slice(at);
  if (stream === undefined || !isNumber(streamSequence) || !isNumber(consumerSequence) || !isNumber(time)) {
    return undefined;
  }
  return {
    stream,
    streamSequence: Number(streamSequence),
    consumerSequence: Number(consumerSequence),
    timeNs: BigInt(time),
  };
}

/** Bytes of a message as JetStream counts them: subject, reply, headers and data. The library's type does not tell of it. */
export function sizeOf(message: Msg): number {
  return (message as Msg & { size(): number }).size();
}

export function toLogMessage(message: Msg, delivery: Delivery): LogMessage {
  return {
    stream: delivery.stream,
    sequence: delivery.streamSequence,
    timeNs: delivery.timeNs,
    headers: readHeaders(message),
    // A copy: what comes from the socket is a view of a larger buffer, which would live as long as the smallest message in it.
    data: Uint8Array.from(message.data),
  };
}

const NO_HEADERS: ReadonlyMap<string, string> = new Map();
const OUR_HEADERS = new Set([HEADER_BATCH, HEADER_PART]);

function readHeaders(message: Msg): ReadonlyMap<string, string> {
  const found = parseHeaders(message);
  if (found === undefined) return NO_HEADERS;
  const ours = new Map<string, string>();
  for (const [name, values] of found) {
    const key = name.toLowerCase();
    if (OUR_HEADERS.has(key)) ours.set(key, values[0] ?? "");
  }
  return ours.size === 0 ? NO_HEADERS : ours;
}

/**
 * The headers; undefined when there are none, or when they are malformed. A malformed one, which a stranger may well
 * publish, makes the library throw: within a callback that would end the read loop of the whole connection, for good.
 */
export function parseHeaders(message: Msg): MsgHdrs | undefined {
  try {
    return message.headers;
  } catch {
    // As if there were none: the message then goes its way without them, into quarantine if it needs them.
    return undefined;
  }
}

function isNumber(token: string | undefined): token is string {
  return token !== undefined && /^\d{1,20}$/.test(token);
}
