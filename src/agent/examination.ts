import { lockHolder } from "../capture/process_lock.ts";
import type { Config } from "../config/config.ts";
import type { InspectedConfig } from "../config/load.ts";
import {
  type Attempt,
  type NatsDesk,
  type NodeAnswer,
  Patient,
  type SnapshotDesk,
  Unavailable,
} from "../doctor/patient.ts";
import { DatabaseError, HarmonyLiteError, StreamError } from "../lib/errors.ts";
import { isThere } from "../lib/files.ts";
import { sleep } from "../lib/sleep.ts";
import { openStore } from "../snapshot/open_store.ts";
import { Database } from "../sqlite/database.ts";
import type { Peer, Peers } from "../stream/peers.ts";
import { askPeer, FIND_TIMEOUT_MS } from "./cluster_status.ts";
import { connectToLook, type LookingDesk } from "./log_connection.ts";
import { readNodeState } from "./node_state.ts";
import { generationsOf } from "./save_snapshot.ts";
import { readSequenceMap, writeSequenceMap } from "./sequence_map.ts";

/** How long a database that somebody has locked for everybody is tried again. */
const LOCKED_PATIENCE_MS = 3_000;
const RETRY_MS = 50;
/** A node may tell what it found this long ago. */
const STATUS_AGE_MS = 300;

type Desk = LookingDesk & NatsDesk;

/** An installation under examination, with all that could be had of it open. */
export interface Admission extends AsyncDisposable {
  readonly patient: Patient;
}

/** Opens what can be had of an installation, whatever is wrong with it. Rejects with the signal's reason alone. */
export async function admit(inspected: InspectedConfig, signal: AbortSignal): Promise<Admission> {
  await using stack = new AsyncDisposableStack();
  const { config } = inspected;
  const process = config.dbPath === "" ? undefined : lockHolder(config.dbPath)?.process;
  const isQuiet = !isThere(`${config.dbPath}-wal`);
  const database = await attempt(() => openDatabase(config, signal), signal);
  if ("value" in database) {
    if (isQuiet) stack.defer(() => removeEmptyWal(config));
    stack.use(database.value);
  }
  const nats = await attempt(() => connect(config, process, signal), signal);
  if ("value" in nats) stack.use(nats.value);
  const patient = new Patient({
    inspected,
    process,
    monitor: process === undefined ? undefined : readNodeState(config.dbPath)?.natsServer?.monitor,
    database,
    nats,
    openSnapshots: () => openSnapshots(config, nats),
    sequenceMap: {
      read: () => readSequenceMap(config.seqMapPath),
      write: (sequences) => writeSequenceMap(config.seqMapPath, sequences),
    },
  });
  const owned = stack.move();
  return { patient, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function attempt<T>(work: () => Promise<T>, signal: AbortSignal): Promise<Attempt<T>> {
  try {
    return { value: await work() };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof HarmonyLiteError) return { failure: error };
    throw error;
  }
}

async function openDatabase({ dbPath }: Config, signal: AbortSignal): Promise<Database> {
  if (dbPath === "") throw new Unavailable("the configuration does not say where the database is");
  for (const deadline = performance.now() + LOCKED_PATIENCE_MS;;) {
    try {
      return Database.open(dbPath, { readOnly: true });
    } catch (error) {
      const isLocked = error instanceof DatabaseError && error.code === "DATABASE_LOCKED";
      if (!isLocked || performance.now() > deadline) throw error;
    }
    await sleep(RETRY_MS, signal);
  }
}

/**
 * A connection that may not write leaves an empty WAL behind where there was none. One that may takes it along, unless others have
 * the database open by now. A WAL that was there before is left as it is: it may be a leftover that must not be taken over.
 */
function removeEmptyWal({ dbPath }: Config): void {
  try {
    Database.open(dbPath).close();
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error; // Gone, or not this user's to write: it stays as it is.
  }
}

/** The server of a node's own that is gone is no failure of NATS: the node does not run. */
async function connect(
  config: Config,
  process: number | undefined,
  signal: AbortSignal,
): Promise<Desk> {
  try {
    const desk = await connectToLook(config, signal);
    const { peers } = desk;
    return {
      ...desk,
      findNodes: (signal) => peers.find({ timeoutMs: FIND_TIMEOUT_MS, signal }),
      askNodes: async (nodes, signal) =>
        (await Promise.all(nodes.map((node) => askNode(peers, node, signal)))).flat(),
    };
  } catch (error) {
    if (config.nats.urls.length > 0 || process !== undefined) throw error;
    throw new HarmonyLiteError("NODE_NOT_RUNNING", "The node's own NATS server does not run", {
      cause: error,
    });
  }
}

/** None when it does not answer: it has ended meanwhile, or is of an older version. */
async function askNode(peers: Peers, node: Peer, signal: AbortSignal): Promise<NodeAnswer[]> {
  const before = Date.now();
  try {
    const status = await askPeer(peers, node, signal);
    const after = Date.now();
    const uncertainMs = (after - before) / 2 + STATUS_AGE_MS;
    return [{ status, clock: { aheadMs: (before + after) / 2 - status.nowMs, uncertainMs } }];
  } catch (error) {
    if (error instanceof StreamError) return [];
    throw error;
  }
}

async function openSnapshots(config: Config, nats: Attempt<Desk>): Promise<SnapshotDesk> {
  const store = await openStore(config, () => {
    if ("value" in nats) return nats.value.connection;
    throw new Unavailable("NATS cannot be reached");
  });
  return {
    store,
    generations: generationsOf(config, store),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
