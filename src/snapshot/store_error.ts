import { messageOf, RemoteError } from "../lib/errors.ts";

/** A snapshot store refused, or could not be reached. */
export class StoreError extends RemoteError {
  override name = "StoreError";
}

/** What a failure means to an operator. */
export interface Verdict {
  readonly code: string;
  readonly transient: boolean;
  /** What is the matter, in place of the library's words. */
  readonly wording?: string;
  readonly hint?: string;
}

/** Each adapter knows the errors of its library; undefined: nothing is known about this one. */
export type Judge = (error: unknown) => Verdict | undefined;

/** Turns whatever an operation ended with into a StoreError. `action`: `Cannot put "x" in folder "y"`. */
export function toStoreError(action: string, error: unknown, judge: Judge): StoreError {
  if (error instanceof StoreError) return error;
  const verdict = judge(error) ?? judgeNetwork(error) ?? { code: "STORE_FAILURE", transient: true };
  const { code, transient, wording, hint } = verdict;
  return new StoreError(code, `${action}: ${wording ?? oneLine(messageOf(error))}`, {
    transient,
    cause: error,
    ...hint === undefined ? {} : { hint },
  });
}

/** The store has no room left; free some and the next snapshot works. */
export const STORE_FULL: Verdict = {
  code: "STORE_FULL",
  transient: true,
  wording: "the store is full",
  hint: "Free space in the store, raise its limit, or lower snapshot.keep.",
};

/** An object that is in the store, but not as it was put there. */
export function damaged(wording: string): Verdict {
  return {
    code: "DAMAGED",
    transient: false,
    wording,
    hint: "The object is damaged in the store: use another snapshot, or take one on a node that is sound.",
  };
}

/** What a rename rejects with that finds nothing to rename. */
export function notFound(action: string): StoreError {
  return new StoreError("NOT_FOUND", `${action}: there is no such object`, { transient: false });
}

const UNREACHABLE_HINT =
  "Check the address in [snapshot], that the service runs, and that no firewall is between.";

/** What the system says about connections, by its error codes; the outermost cause that has one counts. */
const NETWORK_VERDICTS: Readonly<Record<string, Verdict>> = {
  ECONNREFUSED: unreachable("the host refuses connections on this port"),
  ENOTFOUND: unreachable("the host name is not known"),
  EAI_AGAIN: unreachable("the host name cannot be looked up now"),
  EHOSTUNREACH: unreachable("there is no way to the host"),
  ENETUNREACH: unreachable("there is no way to the network of the host"),
  ETIMEDOUT: unreachable("the host does not answer"),
  ECONNRESET: lost("the connection was cut"),
  ECONNABORTED: lost("the connection was cut"),
  EPIPE: lost("the connection was cut"),
  ERR_STREAM_PREMATURE_CLOSE: lost("the connection was cut"),
};

/** What Deno's fetch says, which has no codes; the first that matches counts. */
const FETCH_VERDICTS: readonly (readonly [RegExp, string])[] = [
  [/dns error/i, "ENOTFOUND"],
  [/connection refused/i, "ECONNREFUSED"],
  [/no route to host/i, "EHOSTUNREACH"],
  [/network is unreachable/i, "ENETUNREACH"],
  [/timed out/i, "ETIMEDOUT"],
  [
    /reading a body|connection (closed|reset|error)|broken pipe|end of file|unexpected eof|socket hang up/i,
    "ECONNRESET",
  ],
];

function unreachable(wording: string): Verdict {
  return { code: "UNREACHABLE", transient: true, wording, hint: UNREACHABLE_HINT };
}

function lost(wording: string): Verdict {
  return { code: "CONNECTION_LOST", transient: true, wording };
}

function judgeNetwork(error: unknown): Verdict | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { message } = cause;
    if (CERTIFICATE.test(`${message} ${codeOf(cause)}`)) return untrusted(oneLine(message));
    const code = FETCH_VERDICTS.find(([text]) => text.test(message))?.[1] ?? codeOf(cause);
    if (NETWORK_VERDICTS[code] !== undefined) return NETWORK_VERDICTS[code];
  }
  return undefined;
}

const CERTIFICATE = /certificate|UnknownIssuer|NotValidForName|SELF_SIGNED|CERT_/i;

function untrusted(reason: string): Verdict {
  return {
    code: "CERTIFICATE",
    transient: false,
    wording: `the certificate of the host is not trusted (${reason})`,
    hint:
      "Let a known authority sign it, or name its authority's file in the environment variable DENO_CERT.",
  };
}

function codeOf(error: Error): string {
  return "code" in error ? String(error.code) : "";
}

function oneLine(text: string): string {
  return text.trim().split("\n")[0] ?? "";
}
