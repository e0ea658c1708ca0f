import { ProcessLock } from "../capture/process_lock.ts";
import { type Config, sharedPrefix } from "../config/config.ts";
import { ConfigError, DatabaseError, HarmonyLiteError } from "../lib/errors.ts";
import type { Logger } from "../observe/logger.ts";
import { Generations } from "../snapshot/generations.ts";
import { type LeaseOptions, withLease, WRITER } from "../snapshot/lease.ts";
import type { Generation } from "../snapshot/manifest.ts";
import type { SnapshotStore } from "../snapshot/store.ts";
import { type TakeOptions, takeSnapshot } from "../snapshot/take.ts";
import { Database } from "../sqlite/database.ts";
import { takeOwnership } from "./database_owner.ts";
import { COMMAND_ATTEMPTS, connectBeside, connectNode, type LogConnection } from "./log_connection.ts";
import { Replica } from "./replica.ts";

export interface SaveOptions {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly onProgress?: TakeOptions["onProgress"];
}

/** The snapshots of the configured cluster in its store. */
export function generationsOf(config: Config, store: SnapshotStore): Generations {
  const prefix = sharedPrefix(config);
  return new Generations(store, prefix === "" ? "" : `${prefix}-`);
}

/** Throws a ConfigError where snapshots are not wanted. */
export function requireEnabled({ snapshot }: Config): void {
  if (snapshot.enabled) return;
  throw new ConfigError("Cannot work with snapshots: snapshot.enabled is false", {
    hint: "Set enabled = true under [snapshot].",
  });
}

/** Throws a ConfigError on a node whose database may differ from what the cluster holds. */
function requireWhole({ publish, replicate }: Config): void {
  const missing = !publish ? "publish" : !replicate ? "replicate" : undefined;
  if (missing === undefined) return;
  throw new ConfigError(`Cannot take a snapshot: this node has ${missing} = false`, {
    hint:
      "Its database may differ from what the cluster holds. Take the snapshot on a node that sends and applies.",
  });
}

/** What all snapshots of this process tell others about who they are. */
export function leaseOf(
  { nodeId, snapshot }: Config,
  store: LogConnection["leases"],
  key: string,
): LeaseOptions {
  const holder = { node: String(nodeId), host: Deno.hostname(), process: Deno.pid };
  return { store, key, holder, ttlMs: snapshot.leaderTtl, now: () => performance.now() };
}

/** Takes one now and tells of it. Somebody sends what is pending meanwhile. */
export async function saveNow(
  config: Config,
  { leases }: Pick<LogConnection, "leases">,
  store: SnapshotStore,
  { signal, logger, onProgress }: SaveOptions,
): Promise<Generation> {
  const startMs = performance.now();
  const generations = generationsOf(config, store);
  using database = Database.open(config.dbPath, { readOnly: true });
  const generation = await takeSnapshot({
    database,
    filter: config.tables,
    node: config.nodeId,
    add: (path, facts, options) =>
      withLease(
        leaseOf(config, leases, WRITER),
        options.signal,
        (signal) => generations.add(path, facts, { ...options, signal, keep: config.snapshot.keep }),
      ),
    now: Date.now,
    signal,
    onProgress,
  });
  logger.info("Snapshot saved", {
    snapshot: generation.name,
    store: store.description,
    bytes: generation.size,
    ms: Math.round(performance.now() - startMs),
  });
  return generation;
}

/** How one that was not taken is told: the reason begins as users know it. */
export function tellFailure(logger: Logger, { message, hint }: HarmonyLiteError): void {
  const reason = /^Failed to (create|upload) snapshot/.test(message)
    ? message
    : `Failed to create snapshot: ${message}`;
  logger.error("Unable to save snapshot", { reason, hint });
}

/** Takes a snapshot in a process of its own, beside the running node, or without one: then this sends what is pending. */
export async function saveSnapshot(config: Config, options: SaveOptions): Promise<Generation> {
  requireEnabled(config);
  requireWhole(config);
  using lock = acquireUnlessHeld(config.dbPath);
  using replica = lock && await openReplica(config, options);
  await using connection = await (lock ? connectNode : connectBeside)(config, {
    ...options,
    attempts: COMMAND_ATTEMPTS,
  });
  await using store = await connection.openStore();
  const stop = new AbortController();
  const deadline = AbortSignal.any([options.signal, stop.signal]);
  const sending = replica?.publisher(connection, () => true).run({ signal: deadline, deadline });
  try {
    const saving = saveNow(config, connection, store, options);
    // It does not end by itself, but may fail.
    return await (sending ? Promise.race([saving, sending.then(() => saving)]) : saving);
  } catch (error) {
    if (error instanceof HarmonyLiteError) tellFailure(options.logger, error);
    throw error;
  } finally {
    stop.abort();
    await sending?.catch(() => undefined);
  }
}

/** Undefined when a node runs. */
function acquireUnlessHeld(dbPath: string): ProcessLock | undefined {
  try {
    return ProcessLock.acquire(dbPath);
  } catch (error) {
    if (error instanceof DatabaseError && error.code === "DATABASE_IN_USE") return undefined;
    throw error;
  }
}

async function openReplica(config: Config, { signal, logger }: SaveOptions): Promise<Replica> {
  using stack = new DisposableStack();
  const replica = stack.use(await Replica.open(config, { signal, logger }));
  await takeOwnership(replica.database, replica.schema, { node: config.nodeId, logger, signal });
  stack.move();
  return replica;
}
