import type { Socket } from "node:net";
import {
  connect as connectTls,
  type ConnectionOptions as TlsConnectionOptions,
  type TLSSocket,
} from "node:tls";
import {
  ConnectionError,
  type ConnectionOptions,
  type NatsConnection,
  NatsConnectionImpl,
  type ServerInfo,
  setTransportFactory,
  TimeoutError,
} from "@nats-io/transport-node";
import { nodeResolveHost, NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";

/**
 * The library's transport without some faults of it that would end, or hang, a process that runs for months.
 *
 * It takes its listeners off a socket before it is closed, or before it puts on others. On Deno an error may be on its
 * way then (a reset after a wrong password, an alert after a wrong certificate), and one that nobody listens to
 * ends the process. So every socket has a listener that stays.
 */
class SturdyTransport extends NodeTransport {
  readonly #onSocketError: (error: Error) => void;

  constructor(onSocketError: (error: Error) => void) {
    super();
    this.#onSocketError = onSocketError;
  }

  override async dial(server: { hostname: string; port: number }): Promise<Socket> {
    return keepListener(await super.dial(server), this.#onSocketError);
  }

  /** The server hangs up on a client without a certificate in ways that do not say why; here it can be said. */
  override async peekInfo(): Promise<ServerInfo> {
    const info = await super.peekInfo();
    if (info.tls_verify === true && !this.options.tls?.certFile) {
      throw new ConnectionError("the server demands a client certificate");
    }
    return info;
  }

  override async startTLS(): Promise<TLSSocket> {
    const files = typeof this.options.tls === "object" ? await this.loadClientCerts() : undefined;
    const options = { socket: this.socket, servername: this.tlsName, rejectUnauthorized: true, ...files };
    const socket = keepListener(connectTls(options as TlsConnectionOptions), this.#onSocketError);
    const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
    const onClose = (): void => reject(new Error("connection closed during the TLS handshake"));
    const onConnect = (): void => resolve(socket);
    socket.on("secureConnect", onConnect).on("error", reject).on("close", onClose);
    try {
      return await promise;
    } finally {
      socket.off("secureConnect", onConnect).off("error", reject).off("close", onClose);
    }
  }

  /**
   * Called when pings stay without an answer. The library first waits until all that was written has left; to a peer
   * that vanished nothing leaves before the system gives up, which takes a quarter of an hour.
   */
  override disconnect(): void {
    this.socket?.destroy();
    super.disconnect();
  }
}

function keepListener<T extends Socket>(socket: T, listener: (error: Error) => void): T {
  const removeAll = socket.removeAllListeners.bind(socket);
  socket.removeAllListeners = (...event) => {
    removeAll(...event);
    return socket.on("error", listener);
  };
  return socket.on("error", listener);
}

/** Errors of sockets kept to explain why a connection attempt failed. */
const MAX_SOCKET_ERRORS = 20;

/**
 * Connects as the library's own `connect` does, over the transport above. A server that hangs up without a word, as
 * over a certificate, leaves the library waiting for its time-out: then the socket's error tells more.
 *
 * The other servers of a cluster, which each server names, are learnt when there is a connection. The library takes a server
 * that refuses us off its list, and puts it on again when the next one names it: it would go round without end or pause.
 */
export async function connectSturdily(options: ConnectionOptions): Promise<NatsConnection> {
  const socketErrors: Error[] = [];
  const factory = (): SturdyTransport =>
    new SturdyTransport((error) =>
      void (socketErrors.length < MAX_SOCKET_ERRORS && socketErrors.push(error))
    );
  setTransportFactory({ factory, dnsResolveFn: resolveHost });
  try {
    const connection = await NatsConnectionImpl.connect({ ...options, ignoreClusterUpdates: true });
    // A locked program cannot reach those that it was not given.
    const mayReachOthers = Deno.permissions.querySync({ name: "net" }).state === "granted";
    if (!options.ignoreClusterUpdates && mayReachOthers) learnServers(connection as NatsConnectionImpl);
    return connection;
  } catch (error) {
    const alert = socketErrors.find(({ message }) => /alert|certificate/i.test(message));
    throw error instanceof TimeoutError ? alert ?? socketErrors[0] ?? error : error;
  }
}

/**
 * All addresses of a host, of which the library tries each. A locked program may connect to the names that it was given, not
 * look them up: then the system chooses the address.
 */
async function resolveHost(host: string): Promise<string[]> {
  const mayLookUp = Deno.permissions.querySync({ name: "net", host }).state === "granted";
  return mayLookUp ? await nodeResolveHost(host) : [host];
}

/** Does what the library does with each message of a server about its cluster, and lets it go on from here. */
function learnServers({ protocol }: NatsConnectionImpl): void {
  protocol.options.ignoreClusterUpdates = false;
  if (protocol.info === undefined) return;
  const isEncrypted = protocol.transport.isEncrypted();
  protocol.servers.update(protocol.info, isEncrypted);
  if (isEncrypted) protocol.servers.updateTLSName();
}
