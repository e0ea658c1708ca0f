import { type Config, sharedPrefix } from "../config/config.ts";
import { Backoff } from "../lib/backoff.ts";
import { StreamError } from "../lib/errors.ts";
import { sleep } from "../lib/sleep.ts";
import { type ConnectionStatus, connectToNats, type NatsOptions } from "../nats/connection.ts";
import type { Logger } from "../observe/logger.ts";
import { REGISTRY_BUCKET, SchemaRegistry } from "../schema/registry.ts";
import { LEASE_BUCKET } from "../snapshot/lease.ts";
import { openStore } from "../snapshot/open_store.ts";
import type { SnapshotStore } from "../snapshot/store.ts";
import { JetStreamKeyValue } from "../stream/jetstream_key_value.ts";
import { JetStreamLog } from "../stream/jetstream_log.ts";
import type { BucketSettings, KeyValueStore } from "../stream/key_value.ts";
import { NatsPeers } from "../stream/nats_peers.ts";
import type { Peers } from "../stream/peers.ts";
import type { ReplicationLog } from "../stream/replication_log.ts";
import { NODES_BUCKET } from "./node_claim.ts";

/** Pauses while JetStream is not ready: its servers may still be looking for each other. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

export interface LogConnection extends AsyncDisposable {
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

/**
 * Connects to the configured NATS servers and waits, as long as it takes, until the streams of this cluster exist.
 * Rejects when no server lets us in within `connect_retries`, and when JetStream refuses for good.
 */
export async function connectLog(
  config: Config,
  options: { signal: AbortSignal; logger: Logger; attempts?: number },
): Promise<LogConnection> {
  const { logger } = options;
  await using stack = new AsyncDisposableStack();
  const connection = await connectTo(config, stack, options);
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
  await waitForStreams(log, options);
  const owned = stack.move();
  const peers = new NatsPeers(connection, config.nats.subjectPrefix);
  return {
    log,
    registry,
    peers,
    nodes,
    leases,
    openStore: () => openStore(config, () => connection),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * Opens the store of the snapshots without anything else, for a look at it. NATS is needed only where the snapshots are
 * there; then it rejects when no server lets us in within `connect_retries`.
 */
export async function openSnapshotStore(
  config: Config,
  options: { signal: AbortSignal; logger: Logger },
): Promise<AsyncDisposable & { readonly store: SnapshotStore }> {
  await using stack = new AsyncDisposableStack();
  const store = await openStore(config, () => connectTo(config, stack, options));
  stack.use(store);
  const owned = stack.move();
  return { store, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function connectTo(
  config: Config,
  stack: AsyncDisposableStack,
  { signal, logger }: { signal: AbortSignal; logger: Logger },
): ReturnType<typeof connectToNats> {
  const connection = await connectToNats(natsOptions(config), {
    signal,
    onStatus: (status) => sayStatus(status, logger),
  });
  stack.defer(() => connection.close());
  logger.info("Connected to NATS", { server: connection.getServer() });
  return connection;
}

async function waitForStreams(
  log: ReplicationLog,
  { signal, logger, attempts = Infinity }: { signal: AbortSignal; logger: Logger; attempts?: number },
): Promise<void> {
  const backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
  for (let attempt = 1;; attempt++) {
    try {
      await log.ensureStreams();
      return;
    } catch (error) {
      if (!(error instanceof StreamError) || !error.transient || attempt >= attempts) throw error;
      logger.warn("Waiting for JetStream", { reason: error.message, hint: error.hint });
    }
    await sleep(backoff.next(), signal);
  }
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

function natsOptions({ nats, nodeId }: Config): NatsOptions {
  const { urls, seedFile, credsFile, userName, userPassword, caFile, certFile, keyFile } = nats;
  const { connectRetries, reconnectWaitSeconds } = nats;
  const credentials = { seedFile, credsFile, userName, userPassword, caFile, certFile, keyFile };
  const set = Object.fromEntries(Object.entries(credentials).filter(([, value]) => value !== ""));
  return { urls, connectRetries, reconnectWaitSeconds, name: `harmonylite-node-${nodeId}`, ...set };
}

function bucketSettings(config: Config, bucket: string): BucketSettings {
  return { bucket, folder: sharedPrefix(config), replicas: config.replicationLog.replicas };
}

function streamSettings({ nats, replicationLog }: Config): Parameters<typeof JetStreamLog.open>[1] {
  const { streamPrefix, subjectPrefix } = nats;
  const { shards, maxEntries, replicas, compress, updateExisting } = replicationLog;
  return { streamPrefix, subjectPrefix, shards, maxEntries, replicas, compress, updateExisting };
}
