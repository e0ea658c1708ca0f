import { lockHolder } from "../capture/process_lock.ts";
import { type Config, sharedPrefix } from "../config/config.ts";
import type { NatsDesk } from "../doctor/patient.ts";
import { Backoff } from "../lib/backoff.ts";
import { HarmonyLiteError, StreamError } from "../lib/errors.ts";
import { sleep } from "../lib/sleep.ts";
import { type ConnectionStatus, connectToNats, type NatsOptions } from "../nats/connection.ts";
import { LinkState } from "../nats/link_state.ts";
import type { Logger } from "../observe/logger.ts";
import { REGISTRY_BUCKET, SchemaRegistry } from "../schema/registry.ts";
import { LEASE_BUCKET } from "../snapshot/lease.ts";
import { openStore } from "../snapshot/open_store.ts";
import type { SnapshotStore } from "../snapshot/store.ts";
import { JetStreamInspector } from "../stream/inspection.ts";
import { JetStreamKeyValue } from "../stream/jetstream_key_value.ts";
import { JetStreamLog } from "../stream/jetstream_log.ts";
import type { BucketSettings, KeyValueStore } from "../stream/key_value.ts";
import { NatsPeers } from "../stream/nats_peers.ts";
import type { Peers } from "../stream/peers.ts";
import type { ReplicationLog } from "../stream/replication_log.ts";
import { startEmbeddedServer } from "./embedded_server.ts";
import { NODES_BUCKET } from "./node_claim.ts";
import { readNodeState } from "./node_state.ts";

/** Pauses while JetStream is not ready: its servers may still be looking for each other. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 2_000;
/** How often a command asks JetStream for its streams before they count as not to be had. */
export const COMMAND_ATTEMPTS = 5;

export interface LogConnection extends AsyncDisposable {
  /** The connection itself. */
  readonly link: Pick<LinkState, "connected" | "server" | "sinceMs">;
  readonly log: ReplicationLog;
  readonly registry: SchemaRegistry;
  readonly peers: Peers;
  /** Which nodes run. */
  readonly nodes: KeyValueStore;
  /** What one process of the cluster does at a time. */
  readonly leases: KeyValueStore;
  /** Opens the store of the snapshots, which is its caller's then. */
  readonly openStore: () => Promise<SnapshotStore>;
}

export interface ConnectLogOptions {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** How often JetStream is asked for the streams; default: as long as it takes. */
  readonly attempts?: number;
  /** For a command that only asks: the streams are neither waited for nor created. */
  readonly onlyAsks?: boolean;
}

/**
 * Connects the node that holds the process lock: to the configured servers, or to one of its own, which it starts and which
 * ends with the connection. Waits, as long as it takes, until the streams of this cluster exist. Rejects when no server
 * lets us in within `connect_retries`, and when JetStream refuses for good.
 */
export async function connectNode(config: Config, options: ConnectLogOptions): Promise<LogConnection> {
  await using stack = new AsyncDisposableStack();
  const urls = await urlsOfNode(config, stack, options);
  const connection = stack.use(await connectLog(config, urls, options));
  const owned = stack.move();
  return { ...connection, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Connects a command that works beside the running node. Rejects when there is none, or no server lets us in. */
export async function connectBeside(config: Config, options: ConnectLogOptions): Promise<LogConnection> {
  return await connectLog(config, urlsBeside(config), options);
}

/** How long a command that only looks waits for a server. */
const LOOK_TIMEOUT_MS = 10_000;

/** What a command works with that only looks. */
export interface LookingDesk extends Omit<NatsDesk, "findNodes" | "askNodes">, AsyncDisposable {
  readonly peers: Peers;
  readonly connection: Awaited<ReturnType<typeof connectToNats>>;
}

/** Connects a command that only looks: at once or not at all, and without making anything. Rejects as {@link connectBeside} does. */
export async function connectToLook(config: Config, signal: AbortSignal): Promise<LookingDesk> {
  await using stack = new AsyncDisposableStack();
  const limit = AbortSignal.timeout(LOOK_TIMEOUT_MS);
  const options = { ...natsOptions(config, urlsBeside(config)), connectRetries: 1 };
  const connection = await connectToNats(options, { signal: AbortSignal.any([signal, limit]) }).catch(
    (error) => {
      if (!limit.aborted || signal.aborted) throw error;
      throw new StreamError(
        "NOT_CONNECTED",
        `Failed to connect to NATS: no answer within ${LOOK_TIMEOUT_MS / 1000} s`,
        {
          transient: true,
          hint: "Check that nats-server runs, that [nats] urls name it and that no firewall is between.",
        },
      );
    },
  );
  stack.defer(() => connection.close());
  const inspector = stack.use(new JetStreamInspector(connection, streamSettings(config)));
  const registry = stack.use(new JetStreamKeyValue(connection, bucketSettings(config, REGISTRY_BUCKET)));
  const instances = stack.use(new JetStreamKeyValue(connection, bucketSettings(config, NODES_BUCKET)));
  const peers = new NatsPeers(connection, config.nats.subjectPrefix);
  const rttMs = await connection.rtt();
  const owned = stack.move();
  return {
    connection,
    server: connection.getServer(),
    rttMs,
    inspector,
    peers,
    registry,
    instances,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The configured servers, or a server of the node's own, which runs until the stack is disposed. */
async function urlsOfNode(
  config: Config,
  stack: AsyncDisposableStack,
  options: ConnectLogOptions,
): Promise<readonly string[]> {
  const { urls } = config.nats;
  return urls.length > 0 ? urls : [stack.use(await startEmbeddedServer(config, options)).url];
}

/** The configured servers, or the one of the running node; throws when that does not run. */
function urlsBeside({ nats: { urls }, dbPath, nodeId }: Config): readonly string[] {
  if (urls.length > 0) return urls;
  // What a node that was killed has left says where its server was, and something else may be there now.
  const server = lockHolder(dbPath) ? readNodeState(dbPath)?.natsServer : undefined;
  if (server !== undefined) return [server.url];
  throw new HarmonyLiteError(
    "NODE_NOT_RUNNING",
    `Cannot find the NATS server of node ${nodeId}: the node does not run`,
    { hint: "Its server runs while `harmonylite run` does. Start it, or set nats.urls." },
  );
}

async function connectLog(
  config: Config,
  urls: readonly string[],
  options: ConnectLogOptions,
): Promise<LogConnection> {
  const { logger } = options;
  await using stack = new AsyncDisposableStack();
  const connection = await connectTo(config, urls, stack, options);
  const log = await JetStreamLog.open(connection, streamSettings(config), {
    // Its owner ends it: while it drains, the caller's signal is aborted already.
    signal: new AbortController().signal,
    onDifference: (text) => logger.warn(text),
  });
  stack.use(log);
  const store = stack.use(new JetStreamKeyValue(connection, bucketSettings(config, REGISTRY_BUCKET)));
  const nodes = stack.use(new JetStreamKeyValue(connection, bucketSettings(config, NODES_BUCKET)));
  const leases = stack.use(new JetStreamKeyValue(connection, bucketSettings(config, LEASE_BUCKET)));
  const now = (): number => performance.now();
  const registry = new SchemaRegistry({ store, node: config.nodeId, logger, now });
  if (!options.onlyAsks) await waitForStreams(log, config, options);
  const owned = stack.move();
  const peers = new NatsPeers(connection, config.nats.subjectPrefix);
  return {
    link: new LinkState(connection),
    log,
    registry,
    peers,
    nodes,
    leases,
    openStore: () => openStore(config, () => connection),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A store that is open, and what it needs. */
export interface OpenedStore extends AsyncDisposable {
  readonly store: SnapshotStore;
}

/**
 * Opens the store of the snapshots for a command, without anything else. NATS is needed only where the snapshots are there;
 * then it rejects as {@link connectBeside} does.
 */
export async function openSnapshotStore(config: Config, options: ConnectLogOptions): Promise<OpenedStore> {
  return await openStoreBy(config, (stack) => connectTo(config, urlsBeside(config), stack, options));
}

/** Likewise for the node that holds the process lock, before it follows its database; see {@link connectNode}. */
export async function openNodeStore(config: Config, options: ConnectLogOptions): Promise<OpenedStore> {
  return await openStoreBy(
    config,
    async (stack) => await connectTo(config, await urlsOfNode(config, stack, options), stack, options),
  );
}

async function openStoreBy(
  config: Config,
  connect: (stack: AsyncDisposableStack) => ReturnType<typeof connectToNats>,
): Promise<OpenedStore> {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openStore(config, () => connect(stack)));
  const owned = stack.move();
  return { store, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function connectTo(
  config: Config,
  urls: readonly string[],
  stack: AsyncDisposableStack,
  { signal, logger }: ConnectLogOptions,
): ReturnType<typeof connectToNats> {
  const connection = await connectToNats(natsOptions(config, urls), {
    signal,
    onStatus: (status) => sayStatus(status, logger),
  });
  stack.defer(() => connection.close());
  logger.info("Connected to NATS", { server: connection.getServer() });
  return connection;
}

async function waitForStreams(
  log: ReplicationLog,
  config: Config,
  { signal, logger, attempts = Infinity }: ConnectLogOptions,
): Promise<void> {
  const backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
  for (let attempt = 1;; attempt++) {
    try {
      await log.ensureStreams();
      return;
    } catch (error) {
      if (!(error instanceof StreamError) || !error.transient || attempt >= attempts) throw error;
      logger.warn("Waiting for JetStream", { reason: error.message, hint: error.hint ?? hintOf(config) });
    }
    await sleep(backoff.next(), signal);
  }
}

/** What a server of our own may be waiting for. */
function hintOf({ nats }: Config): string | undefined {
  if (nats.clusterAddr !== "") return "A cluster works while most of its servers run: start the other nodes.";
  if (nats.leafServers.length > 0) return "The streams are those of nats.leaf_servers: it must be reached.";
  return undefined;
}

function sayStatus(status: ConnectionStatus, logger: Logger): void {
  switch (status.type) {
    case "waiting":
      return logger.warn(status.error.message, { attempt: status.round });
    case "disconnected":
      return logger.warn("Disconnected from NATS, changes wait in the database", { server: status.server });
    case "reconnected":
      return logger.info("Reconnected to NATS", { server: status.server });
    case "error":
      return logger.error("NATS reports an error", { reason: status.error.message });
    case "closed":
      return logger.debug("Connection to NATS closed");
  }
}

function natsOptions({ nats, nodeId }: Config, urls: readonly string[]): NatsOptions {
  const { seedFile, credsFile, userName, userPassword, caFile, certFile, keyFile } = nats;
  const { connectRetries, reconnectWaitSeconds } = nats;
  // Other nodes' servers may listen on loopbacks of their own, where something else answers here.
  const noOthers = nats.urls.length === 0;
  const credentials = { seedFile, credsFile, userName, userPassword, caFile, certFile, keyFile };
  const set = Object.fromEntries(Object.entries(credentials).filter(([, value]) => value !== ""));
  return { urls, noOthers, connectRetries, reconnectWaitSeconds, name: `harmonylite-node-${nodeId}`, ...set };
}

function bucketSettings(config: Config, bucket: string): BucketSettings {
  return { bucket, folder: sharedPrefix(config), replicas: config.replicationLog.replicas };
}

function streamSettings({ nats, replicationLog }: Config): Parameters<typeof JetStreamLog.open>[1] {
  const { streamPrefix, subjectPrefix } = nats;
  const { shards, maxEntries, replicas, compress, updateExisting } = replicationLog;
  return { streamPrefix, subjectPrefix, shards, maxEntries, replicas, compress, updateExisting };
}
