import {
  AuthorizationError,
  type ConnectionOptions,
  type NatsConnection,
  type Status,
  UserAuthenticationExpiredError,
} from "@nats-io/transport-node";
import { messageOf, StreamError } from "../lib/errors.ts";
import { sleep } from "../lib/sleep.ts";
import { type Credentials, makeAuthenticators, makeTls } from "./credentials.ts";
import { parseServerUrl, redactUrls } from "./server_url.ts";
import { connectSturdily } from "./transport.ts";

export interface NatsOptions extends Credentials {
  /** `nats://host:port` or `tls://host:port`; a user in the URL counts when none is set otherwise. */
  readonly urls: readonly string[];
  /** Never connect to another server of their cluster. */
  readonly noOthers?: boolean;
  /** How many rounds over all urls the first connection may take; at least one is made. */
  readonly connectRetries: number;
  /** Between two rounds, and later between two attempts to reconnect to one server. */
  readonly reconnectWaitSeconds: number;
  /** What the server's monitoring calls this connection. */
  readonly name: string;
}

export type ConnectionStatus =
  /** A round of the first connection failed, and another one follows. */
  | { readonly type: "waiting"; readonly round: number; readonly error: StreamError }
  | { readonly type: "disconnected"; readonly server: string }
  | { readonly type: "reconnected"; readonly server: string }
  /** The server complained: a missing permission, a secret that it no longer takes. */
  | { readonly type: "error"; readonly error: Error }
  | { readonly type: "closed" };

export interface ConnectOptions {
  readonly signal: AbortSignal;
  readonly onStatus?: (status: ConnectionStatus) => void;
  /** A peer that vanished without closing its connection is noticed after three times this. Default 10 s. */
  readonly pingIntervalMs?: number;
}

/** How long one server may take to accept a connection. */
const CONNECT_TIMEOUT_MS = 5_000;

const DEFAULT_PING_INTERVAL_MS = 10_000;
/** Pings that may be without an answer when the next one is due. */
const MAX_PINGS_OUT = 2;

/**
 * Connects to NATS. `connectRetries` bounds this first connection only: once there was one, the client reconnects
 * for ever, also when the server refuses our secret for a while, as a node in the field has nobody to restart it.
 *
 * A refusal counts as a round like any other failure: whoever sets up a machine may be about to tell the server of us.
 * Rejects with a StreamError whose message begins `Failed to connect to NATS` and holds no secret: transient when
 * no server could be reached, not when one refused us. Rejects with the signal's reason when aborted.
 */
export async function connectToNats(
  options: NatsOptions,
  connecting: ConnectOptions,
): Promise<NatsConnection> {
  const { signal, onStatus } = connecting;
  const pingInterval = connecting.pingIntervalMs ?? DEFAULT_PING_INTERVAL_MS;
  const clientOptions = { ...await makeClientOptions(options), pingInterval };
  const rounds = Math.max(1, options.connectRetries);
  for (let round = 1;; round++) {
    try {
      const connection = await attempt(clientOptions, signal);
      if (onStatus !== undefined) void follow(connection, onStatus);
      return connection;
    } catch (error) {
      signal.throwIfAborted();
      const failure = describe(error, options, round);
      if (round >= rounds) throw failure;
      onStatus?.({ type: "waiting", round, error: failure });
    }
    await sleep(options.reconnectWaitSeconds * 1000, signal);
  }
}

async function makeClientOptions(options: NatsOptions): Promise<ConnectionOptions> {
  const servers = options.urls.map(parseServerUrl);
  const tls = await makeTls(options, servers);
  return {
    servers: servers.map((server) => server.address),
    name: options.name,
    authenticator: await makeAuthenticators(options, servers),
    ...tls === undefined ? {} : { tls },
    ignoreClusterUpdates: options.noOthers ?? false,
    timeout: CONNECT_TIMEOUT_MS,
    maxPingOut: MAX_PINGS_OUT,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: Math.max(100, options.reconnectWaitSeconds * 1000),
    // By default the client gives up for good when a server refuses the secret twice.
    ignoreAuthErrorAbort: true,
    // Captures a stack for each request otherwise: costs more than the request.
    noAsyncTraces: true,
  };
}

/** One round over all servers. The library cannot be interrupted: what comes of an abandoned attempt is closed. */
function attempt(options: ConnectionOptions, signal: AbortSignal): Promise<NatsConnection> {
  const { promise, resolve, reject } = Promise.withResolvers<NatsConnection>();
  const onAbort = (): void => reject(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener("abort", onAbort, { once: true });
  connectSturdily(options).then((connection) => {
    signal.removeEventListener("abort", onAbort);
    if (signal.aborted) void connection.close();
    resolve(connection);
  }, (error) => {
    signal.removeEventListener("abort", onAbort);
    reject(error);
  });
  return promise;
}

function describe(error: unknown, options: NatsOptions, round: number): StreamError {
  const servers = redactUrls(options.urls);
  if (isRefusal(error)) {
    return new StreamError("AUTHORIZATION", `Failed to connect to NATS at ${servers}: ${messageOf(error)}`, {
      transient: false,
      cause: error,
      hint: "The server does not accept the user, seed, credentials or certificate configured in [nats].",
    });
  }
  const tries = round === 1 ? "" : ` (${round} attempts)`;
  return new StreamError(
    "NOT_CONNECTED",
    `Failed to connect to NATS at ${servers}${tries}: ${reasonOf(error)}`,
    {
      transient: !isBadConfiguration(error),
      cause: error,
      hint: isBadConfiguration(error)
        ? "Check ca_file, cert_file, key_file and the scheme of urls in [nats]."
        : "Check that nats-server runs, that [nats] urls name it and that no firewall is between.",
    },
  );
}

function isRefusal(error: unknown): boolean {
  return error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError;
}

/** What trying again does not change: a certificate that is not trusted, TLS that one side does not speak. */
function isBadConfiguration(error: unknown): boolean {
  return /certificate|UnknownIssuer|NotValidForName|'tls'|fatal alert/i.test(messageOf(error));
}

/** Node's connection errors may have an empty message and say what happened in their code alone. */
function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return messageOf(error) || code || "no answer";
}

async function follow(
  connection: NatsConnection,
  onStatus: (status: ConnectionStatus) => void,
): Promise<void> {
  for await (const status of connection.status()) {
    const told = translate(status);
    if (told !== undefined) onStatus(told);
  }
}

function translate(status: Status): ConnectionStatus | undefined {
  switch (status.type) {
    case "disconnect":
      return { type: "disconnected", server: status.server };
    case "reconnect":
      return { type: "reconnected", server: status.server };
    case "error":
      return { type: "error", error: status.error };
    case "close":
      return { type: "closed" };
    default:
      return undefined;
  }
}
