import { JetStreamApiError } from "@nats-io/jetstream";
import {
  ClosedConnectionError,
  ConnectionError,
  DrainingConnectionError,
  InvalidArgumentError,
  NoRespondersError,
  PermissionViolationError,
  TimeoutError,
} from "@nats-io/transport-node";
import { messageOf, StreamError } from "../lib/errors.ts";

/** Error codes of the JetStream API that something here depends on. */
export const API_ERROR = {
  messageNotFound: 10037,
  streamNotFound: 10059,
  streamNameInUse: 10058,
  subjectsOverlap: 10065,
  /** Older servers say the first, newer ones the second in a stream that is replicated. */
  wrongRevision: [10071, 10164],
} as const;

/** What a failure means to an operator. */
export interface StreamVerdict {
  readonly code: string;
  readonly transient: boolean;
  readonly wording?: string;
  readonly hint?: string;
}

const REPLICAS_HINT =
  "The stream wants more replicas than there are JetStream servers now; lower replication_log.replicas or start them.";
const LIMIT_HINT = "Raise the JetStream limits of the account or the server, or free some of what it stores.";

/** Two clusters on one account: names, or subjects, would meet. */
export const PREFIXES_HINT =
  "Give each cluster on one NATS account both a stream_prefix and a subject_prefix of its own.";
const ROOM_HINT =
  "JetStream has no room left: raise the limits of the server, or free some of what it stores. A new stream may also want more replicas than there are servers.";

/**
 * Refusals of the JetStream API with a meaning for an operator, by code. Transient are those which heal without
 * this program being restarted: servers that join, limits and accounts that an operator changes.
 */
const API_VERDICTS: Readonly<Record<number, StreamVerdict>> = {
  10002: { code: "RESOURCE_LIMIT", transient: true, hint: LIMIT_HINT },
  10005: { code: "NO_PEERS", transient: true, hint: REPLICAS_HINT },
  // Said of a message: the server's store is full. Said of a new stream, by older servers: too few servers.
  10023: { code: "RESOURCE_LIMIT", transient: true, hint: ROOM_HINT },
  10026: { code: "RESOURCE_LIMIT", transient: true, hint: LIMIT_HINT },
  10027: { code: "RESOURCE_LIMIT", transient: true, hint: LIMIT_HINT },
  10028: { code: "RESOURCE_LIMIT", transient: true, hint: LIMIT_HINT },
  10047: { code: "RESOURCE_LIMIT", transient: true, hint: LIMIT_HINT },
  10074: { code: "NO_PEERS", transient: true, hint: REPLICAS_HINT },
  10077: { code: "RESOURCE_LIMIT", transient: true, hint: "Check the disk of the server." },
  10058: { code: "JETSTREAM_REFUSED", transient: false, hint: PREFIXES_HINT },
  10039: {
    code: "JETSTREAM_DISABLED",
    transient: true,
    hint: "Enable JetStream for the account that this user belongs to.",
  },
  10076: {
    code: "JETSTREAM_DISABLED",
    transient: true,
    hint: "Enable JetStream on the server (nats-server -js, or a jetstream block in its configuration).",
  },
  10054: {
    code: "MESSAGE_TOO_LARGE",
    transient: false,
    hint: "The stream has a max_msg_size below the max_payload of the server: raise it.",
  },
};

/** Turns whatever a request ended with into a StreamError: the only place that decides what is transient. */
export function toStreamError(action: string, error: unknown): StreamError {
  if (error instanceof StreamError) return error;
  const { code, transient, wording, hint } = judgeStreamFailure(error);
  return new StreamError(code, `${action}: ${wording ?? messageOf(error)}`, {
    transient,
    cause: error,
    ...hint === undefined ? {} : { hint },
  });
}

/** Whether JetStream refused with this code. */
export function isApiError(error: unknown, ...codes: number[]): boolean {
  return error instanceof JetStreamApiError && codes.includes(error.code);
}

/** What anything that a request ended with means. */
export function judgeStreamFailure(error: unknown): StreamVerdict {
  if (error instanceof JetStreamApiError) return judgeApi(error);
  if (error instanceof NoRespondersError) {
    return {
      code: "NO_RESPONDERS",
      transient: true,
      wording: `No responders available for "${error.subject}": JetStream does not answer`,
      hint:
        "JetStream may still be starting. If this lasts, enable it (nats-server -js) and for this account.",
    };
  }
  if (error instanceof TimeoutError) {
    return { code: "TIMEOUT", transient: true, wording: "timeout: no answer from JetStream" };
  }
  if (error instanceof ConnectionError) return { code: "NOT_CONNECTED", transient: true };
  if (error instanceof ClosedConnectionError || error instanceof DrainingConnectionError) {
    return { code: "CONNECTION_CLOSED", transient: false };
  }
  if (error instanceof PermissionViolationError) {
    return {
      code: "PERMISSION_DENIED",
      transient: false,
      hint:
        "Let this user publish to $JS.API.>, $KV.> and the configured subjects, and subscribe to _INBOX.>.",
    };
  }
  if (error instanceof InvalidArgumentError && /max_payload/.test(error.message)) {
    return {
      code: "MESSAGE_TOO_LARGE",
      transient: false,
      hint: "Raise max_payload of the NATS servers: one row does not fit into a message.",
    };
  }
  return { code: "STREAM_FAILURE", transient: false };
}

/** Codes of the table first; otherwise like HTTP: the server's own trouble passes, what it dislikes in us does not. */
function judgeApi(error: JetStreamApiError): StreamVerdict {
  const known = API_VERDICTS[error.code];
  if (known !== undefined) return known;
  const transient = error.status >= 500 || error.status === 408 || error.status === 429;
  return { code: transient ? "JETSTREAM_UNAVAILABLE" : "JETSTREAM_REFUSED", transient };
}
