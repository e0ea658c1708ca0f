import type { Applier } from "../apply/applier.ts";
import { readPositions } from "../apply/position.ts";
import { ProcessLock } from "../capture/process_lock.ts";
import { Watcher } from "../capture/watcher.ts";
import type { Config } from "../config/config.ts";
import { messageOf } from "../lib/errors.ts";
import { pause, untilAborted } from "../lib/sleep.ts";
import type { Logger } from "../observe/logger.ts";
import { answerCalls } from "../stream/peer_calls.ts";
import { takeOwnership } from "./database_owner.ts";
import { Housekeeping } from "./housekeeping.ts";
import { connectNode, type LogConnection, openNodeStore } from "./log_connection.ts";
import { LoopGroup } from "./loop_group.ts";
import { CLAIM_INTERVAL_MS, NodeClaim } from "./node_claim.ts";
import { NodeObserver } from "./node_observer.ts";
import { adoptOriginalPositions } from "./original_positions.ts";
import { Recovery, requireDatabase } from "./recovery.ts";
import { Replica } from "./replica.ts";
import { hasSequenceMap, readSequenceMap } from "./sequence_map.ts";
import { requestSnapshot, Snapshots } from "./snapshots.ts";
import { serveNode } from "./serve_node.ts";
import { SnapshotWatch } from "./snapshot_watch.ts";
import { followStopRequests } from "./stop_request.ts";
import { Verification } from "./verification.ts";

/** How long a node that is asked to stop goes on sending what is pending. */
const DRAIN_TIMEOUT_MS = 10_000;

export interface NodeOptions {
  /** Asks the node to drain and stop, as a request of `harmonylite stop` does. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/**
 * Replicates one database until the signal is aborted, until `harmonylite stop` asks, or until nothing has changed for
 * `sleep_timeout`.
 *
 * Order of the start: the process lock, so that nobody else works on this database; the newest snapshot in its place if
 * there is none, or a broken one; the watcher, which must bind to the files before this process opens them; the database
 * with its triggers, so that nothing is missed from now on, whatever becomes of the schema; NATS, with a server of our own
 * if no other is configured, which may take its time; then all streams to their ends, so that what is sent rests on what is
 * known; then what is pending is sent.
 */
export async function runNode(config: Config, { signal, logger }: NodeOptions): Promise<void> {
  using lock = ProcessLock.acquire(config.dbPath);
  const [requested, ended] = [new AbortController(), new AbortController()];
  const onRequest = (): void => {
    logger.info("Asked to stop");
    requested.abort();
  };
  const following = followStopRequests(config.dbPath, {
    holder: lock.holder,
    onRequest,
    signal: ended.signal,
  });
  try {
    await replicate(config, { signal: AbortSignal.any([signal, requested.signal]), logger });
  } catch (error) {
    if (!requested.signal.aborted || error !== requested.signal.reason) throw error;
  } finally {
    ended.abort();
    await following;
  }
}

async function replicate(config: Config, { signal, logger }: NodeOptions): Promise<void> {
  const connect = (signal: AbortSignal): Promise<LogConnection> => connectNode(config, { signal, logger });
  const openStore = (): ReturnType<typeof openNodeStore> => openNodeStore(config, { signal, logger });
  await requireDatabase(config, { openStore, signal, logger });
  using watcher = await Watcher.open(config.dbPath, logger);
  using replica = await Replica.open(config, { signal, logger });
  await takeOwnership(replica.database, replica.schema, { node: config.nodeId, logger, signal });
  checkSequenceMap(config, logger);
  if (!config.publish) logger.info("publish = false: changes are kept here, none is sent");
  if (!config.replicate) logger.info("replicate = false: what other nodes write is not taken over");
  using observer = new NodeObserver(replica);
  await using _pages = await serveNode(replica, observer, logger);
  await new NodeLoops(replica, observer, { watcher, connect }).run(signal);
}

/** What the loops of a node have to do with the world outside of its database. */
export interface Surroundings {
  readonly watcher: Pick<Watcher, "run">;
  /** Resolves when the streams of this cluster exist; may take its time. */
  readonly connect: (signal: AbortSignal) => Promise<LogConnection>;
}

/** The loops of a running node. */
export class NodeLoops {
  readonly #replica: Replica;
  readonly #observer: NodeObserver;
  readonly #surroundings: Surroundings;
  readonly #housekeeping: Housekeeping;
  /** Looked at before housekeeping writes it: its absence is a wish to recover. */
  readonly #hadSequenceMap: boolean;
  /** False until this node has recovered, if it has to: what is interrupted is to begin again at the next start. */
  #isRecovered = false;

  constructor(replica: Replica, observer: NodeObserver, surroundings: Surroundings) {
    const { config, database, schema, logger } = replica;
    this.#replica = replica;
    this.#observer = observer;
    this.#surroundings = surroundings;
    this.#hadSequenceMap = hasSequenceMap(config.seqMapPath);
    this.#housekeeping = new Housekeeping({
      database,
      schema,
      overlay: replica.messages.overlay,
      logger,
      cleanupIntervalMs: config.cleanupInterval,
      versionRetentionMs: config.replicationLog.versionRetention,
      sequenceMapPath: config.seqMapPath,
      mayMirror: () => this.#isRecovered || !config.replicate,
      replicate: config.replicate,
      now: Date.now,
    });
  }

  async run(asked: AbortSignal): Promise<void> {
    const observer = this.#observer;
    const loops = new LoopGroup(asked, observer);
    loops.signal.addEventListener("abort", () => observer.phase = "stopping", { once: true });
    await loops.untilOneFails({
      watcher: this.#surroundings.watcher.run({ notify: () => this.#replica.notify(), signal: loops.signal }),
      schema: this.#replica.followSchema(loops.signal),
      replication: this.#replicate(loops),
    });
  }

  /** What needs NATS. */
  async #replicate(loops: LoopGroup): Promise<void> {
    const { config, schema } = this.#replica;
    const { signal } = loops;
    await using connection = await this.#surroundings.connect(signal);
    const recovery = config.snapshot.enabled ? this.#recovery(connection) : undefined;
    const closeGaps = (streams: ReadonlySet<string>, signal: AbortSignal): Promise<boolean> =>
      recovery?.closeGaps(streams, signal) ?? Promise.resolve(false);
    const applier = config.replicate ? this.#replica.applier(connection, closeGaps) : undefined;
    const verification = new Verification(this.#replica, connection.peers, signal);
    const snapshots = new Snapshots(this.#replica, connection);
    const watch = new SnapshotWatch(config, { connection, snapshots, signal });
    this.#observer.connected({ connection, applier, recovery, verification, snapshots: watch });
    const self = { node: config.nodeId, instance: this.#observer.instance };
    const methods = answerCalls({ ...verification.methods, ...snapshots.methods, ...this.#observer.methods });
    await loops.untilOneFails({
      housekeeping: this.#housekeeping.run({ signal }),
      registry: connection.registry.run({ signal, schema: () => schema.current }),
      peers: connection.peers.serve(self, methods, signal),
      verification: config.verify.interval > 0 ? verification.run() : undefined,
      snapshots: applier && config.publish && config.snapshot.enabled
        ? snapshots.run({ readiness: applier, signal })
        : undefined,
      claim: claimOf(this.#replica, connection).run({ signal }),
      sleep: config.sleepTimeout > 0 ? this.#sleepWhenIdle(loops) : undefined,
      applier: applier && this.#apply(applier, { connection, recovery, verification, loops }),
      publisher: config.publish ? this.#publish(connection, applier, signal) : undefined,
    });
  }

  #recovery({ log, openStore, peers }: LogConnection): Recovery {
    const request = (signal: AbortSignal): Promise<boolean> => requestSnapshot(peers, signal);
    return new Recovery(this.#replica, log, { openStore, request });
  }

  async #apply(
    applier: Applier,
    { connection: { log }, recovery, verification, loops }: {
      readonly connection: LogConnection;
      readonly recovery: Recovery | undefined;
      readonly verification: Verification;
      readonly loops: LoopGroup;
    },
  ): Promise<void> {
    const observer = this.#observer;
    const { signal } = loops;
    observer.phase = "recovering";
    const { database, schema, logger, config } = this.#replica;
    const sequenceMapPath = config.seqMapPath;
    await adoptOriginalPositions({ database, schema, log, sequenceMapPath, logger, signal });
    const isPutBack = await this.#isPutBack(signal);
    await recovery?.atStart(this.#hadSequenceMap, signal);
    if (!isPutBack) await this.#haveRecovered();
    observer.phase = "catching_up";
    applier.caughtUp.then(() => signal.aborted || (observer.phase = "replicating"));
    await loops.untilOneFails({
      reader: applier.run({ signal }),
      comparison: isPutBack ? this.#compare(applier, verification, signal) : undefined,
    });
  }

  /**
   * Whether somebody wants a database to recover that has read streams before: it may be a backup. One that was copied over
   * the file of a running node can have the right positions and yet lack rows, as SQLite mixes what both had.
   */
  async #isPutBack(signal: AbortSignal): Promise<boolean> {
    const { database, schema } = this.#replica;
    return !this.#hadSequenceMap &&
      await schema.read(() => readPositions(database).length > 0, signal);
  }

  /** At once: a node that is killed a moment later need not compare its rows. */
  async #haveRecovered(): Promise<void> {
    this.#isRecovered = true;
    await this.#housekeeping.mirrorPositions();
  }

  async #compare(applier: Applier, verification: Verification, signal: AbortSignal): Promise<void> {
    await untilAborted(applier.caughtUp, signal);
    if (signal.aborted) return;
    await verification.repairOnce();
    await this.#haveRecovered();
    // A loop that ends by itself counts as dead.
    await untilAborted(new Promise<never>(() => {}), signal);
  }

  async #publish(
    connection: LogConnection,
    applier: ReturnType<Replica["applier"]> | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { logger } = this.#replica;
    const publisher = this.#replica.publisher(connection, () => applier?.mayPublish ?? true);
    if (applier) await untilAborted(applier.caughtUp, signal);
    if (signal.aborted) return;
    logger.info("Caught up with the streams, publishing");
    const deadline = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    signal.addEventListener("abort", () => timer = setTimeout(() => deadline.abort(), DRAIN_TIMEOUT_MS), {
      once: true,
    });
    try {
      await publisher.run({ signal, deadline: deadline.signal });
    } catch (error) {
      if (error !== deadline.signal.reason) throw error;
      logger.warn("Stopping with changes pending: they are sent after the next start");
    } finally {
      clearTimeout(timer);
    }
  }

  async #sleepWhenIdle(loops: LoopGroup): Promise<void> {
    const { sleepTimeout } = this.#replica.config;
    const { signal } = loops;
    while (!signal.aborted) {
      const idleMs = Date.now() - this.#replica.activity.lastAtMs;
      if (idleMs >= sleepTimeout) {
        this.#replica.logger.info("Nothing has changed for a while, going to sleep", { ms: sleepTimeout });
        loops.stop();
        return;
      }
      await pause(sleepTimeout - idleMs, signal);
    }
  }
}

function claimOf({ config, logger }: Replica, { nodes: store }: LogConnection): NodeClaim {
  const own = {
    instance: crypto.randomUUID(),
    host: Deno.hostname(),
    database: config.dbPath,
    process: Deno.pid,
    startedAt: new Date().toISOString(),
  };
  return new NodeClaim({
    store,
    node: config.nodeId,
    own,
    logger,
    now: () => performance.now(),
    checkIntervalMs: CLAIM_INTERVAL_MS,
  });
}

/** The positions in the database count; the map only tells what its absence or its state means. */
function checkSequenceMap({ seqMapPath }: Config, logger: Logger): void {
  if (!hasSequenceMap(seqMapPath)) {
    logger.info("There is no sequence map yet, it is written from the positions in the database", {
      file: seqMapPath,
    });
    return;
  }
  try {
    readSequenceMap(seqMapPath);
  } catch (error) {
    logger.warn("The sequence map is damaged, it is written anew", { reason: messageOf(error) });
  }
}
