import type { SchemaPause } from "../apply/applier.ts";
import { type Position, readPositions } from "../apply/position.ts";
import { SchemaBehindError } from "../apply/schema_behind.ts";
import type { Config } from "../config/config.ts";
import { Backoff } from "../lib/backoff.ts";
import { DatabaseError, HarmonyLiteError, StreamError } from "../lib/errors.ts";
import { unlessAbsent } from "../lib/files.ts";
import { Mutex } from "../lib/mutex.ts";
import { sleep } from "../lib/sleep.ts";
import type { Logger } from "../observe/logger.ts";
import type { Generations } from "../snapshot/generations.ts";
import type { Generation } from "../snapshot/manifest.ts";
import { Merge } from "../snapshot/merge.ts";
import { SnapshotFile } from "../snapshot/snapshot_file.ts";
import { type FileCondition, judgeFile, rebuildIndexes, replaceFile } from "../snapshot/whole_file.ts";
import type { SnapshotStore } from "../snapshot/store.ts";
import { StoreError } from "../snapshot/store_error.ts";
import type { ReplicationLog, StreamState } from "../stream/replication_log.ts";
import { generationsOf } from "./save_snapshot.ts";
import type { Replica } from "./replica.ts";
import { hasSequenceMap } from "./sequence_map.ts";

/** How long a fresh snapshot that was asked for may take, and how often it is looked for. */
const FRESH_TIMEOUT_MS = 120_000;
const FRESH_POLL_MS = 2_000;
/** How often a database whose schema is behind the snapshot's is looked at again. */
const SCHEMA_POLL_MS = 250;
/** Pauses while the streams or the store cannot be reached at the start. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/** Users look for this sentence in the log. */
const NOT_RESTORED = "Failed to restore snapshot";
/** A store may be without its leader for a moment just when the file of a database is missing. */
const WHOLE_ATTEMPTS = 3;

/** Where snapshots are, and who takes one when asked to. */
export interface SnapshotSource {
  /** For as long as it is needed: the client of a store takes memory. */
  readonly openStore: () => Promise<SnapshotStore>;
  /** Asks the node that takes snapshots for one at once; false when nobody does. */
  readonly request: (signal: AbortSignal) => Promise<boolean>;
}

/** Brings a node whose streams do not hold all that it lacks up to a snapshot, without a restart of anything. */
export class Recovery {
  readonly #replica: Replica;
  readonly #log: ReplicationLog;
  readonly #source: SnapshotSource;
  readonly #turn = new Mutex();
  #pause: SchemaPause | undefined;
  #failure: string | undefined;

  constructor(replica: Replica, log: ReplicationLog, source: SnapshotSource) {
    this.#replica = replica;
    this.#log = log;
    this.#source = source;
  }

  /** Why a snapshot that is being taken over waits for this database's schema; undefined when it does not. */
  get pause(): SchemaPause | undefined {
    return this.#pause;
  }

  /** Why the last attempt to take over a snapshot that is needed failed; undefined once one has not. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /**
   * To be called before the streams are read. A snapshot is merged where this node never read a stream, where the stream has
   * gone on without it, and when the sequence map was removed. Without one the node reads what the streams hold.
   *
   * A node that joins others waits for the store: rows that were there before replication are in no stream.
   */
  async atStart(hasMap: boolean, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
    while (!await this.#tryToStart(hasMap, signal)) await sleep(backoff.next(), signal);
  }

  async #tryToStart(hasMap: boolean, signal: AbortSignal): Promise<boolean> {
    const states = await this.#reachableStreams(signal);
    if (!states) return false;
    const positions = await this.#positions(signal);
    const wanted = states.filter((state) => {
      const stored = positions.find(({ stream }) => stream === state.name);
      if (!stored) return true;
      // What was lost with a stream that was recreated is sent again first, see `sendAllAgain`.
      const isOurs = stored.created === state.created && stored.sequence <= state.last;
      return isOurs && (!hasMap || stored.sequence + 1 < state.first);
    });
    if (wanted.length === 0) {
      this.#failure = undefined;
      return true;
    }
    const isJoining = positions.length === 0 && wanted.some(({ last }) => last > 0);
    return await this.#tryToRestore(wanted, false, signal) !== "failed" || !isJoining;
  }

  /** Undefined while they cannot be reached. */
  async #reachableStreams(signal: AbortSignal): Promise<StreamState[] | undefined> {
    try {
      return await this.#log.streams();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof StreamError)) throw error;
      this.#replica.logger.warn("Unable to read", { reason: error.message });
      this.#failure = error.message;
      return undefined;
    }
  }

  /**
   * Closes the gap of streams that have lost what this node has not read, if a snapshot can; asks for a fresh one if none
   * does. Nobody may be reading these streams meanwhile.
   */
  async closeGaps(streams: ReadonlySet<string>, signal: AbortSignal): Promise<boolean> {
    return await this.#turn.run(async () => {
      const open = await this.#openGaps(streams, signal);
      if (open.length === 0) return true;
      if (await this.#tryToRestore(open, true, signal) === "done") return true;
      if (!await this.#waitForFresh(open, signal)) return false;
      return await this.#tryToRestore(open, true, signal) === "done";
    });
  }

  async #openGaps(streams: ReadonlySet<string>, signal: AbortSignal): Promise<StreamState[]> {
    const positions = await this.#positions(signal);
    return (await this.#log.streams()).filter((state) =>
      streams.has(state.name) && (positionIn(state, positions)?.sequence ?? 0) + 1 < state.first
    );
  }

  /** What fails is said, and tried again when the gap is met next. */
  async #tryToRestore(
    states: readonly StreamState[],
    mustClose: boolean,
    signal: AbortSignal,
  ): Promise<"done" | "no snapshot" | "failed"> {
    const { logger } = this.#replica;
    try {
      const isDone = await this.#restore(states, mustClose, signal);
      this.#failure = undefined;
      return isDone ? "done" : "no snapshot";
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof HarmonyLiteError)) throw error;
      this.#failure = error.message;
      logger.error(NOT_RESTORED, { reason: error.message, hint: error.hint });
      return "failed";
    } finally {
      this.#pause = undefined;
    }
  }

  /** Whether a snapshot was merged. */
  async #restore(states: readonly StreamState[], mustClose: boolean, signal: AbortSignal): Promise<boolean> {
    const { logger, config } = this.#replica;
    const positions = await this.#positions(signal);
    await using store = await this.#source.openStore();
    const generations = generationsOf(config, store);
    const known = await generations.list(signal);
    const generation = known.find((each) => leadOf(each.positions, states, positions, mustClose).length > 0);
    if (!generation) return false;
    logger.info("Restoring from snapshot", { snapshot: generation.name, bytes: generation.size });
    await using file = await fetched(generations, generation, config.dbPath, signal);
    using snapshot = await SnapshotFile.open(file.path, config.tables, signal);
    const lead = leadOf(snapshot.positions, states, positions, mustClose);
    if (lead.length === 0) return false;
    const rows = await this.#merge(snapshot, lead, signal);
    const streams = lead.map(({ stream }) => stream).join(", ");
    logger.info("Restored from snapshot", { snapshot: generation.name, rows, streams });
    return true;
  }

  /** Waits, as for a message, while the snapshot knows what this database does not. */
  async #merge(snapshot: SnapshotFile, lead: readonly Position[], signal: AbortSignal): Promise<number> {
    const { config, database, comparer, schema, messages, logger } = this.#replica;
    const { shards, maxTransactionRows, versionRetention } = config.replicationLog;
    for (;;) {
      try {
        return await Merge.run(snapshot, lead, {
          database,
          comparer,
          schema,
          messages,
          node: config.nodeId,
          shards,
          maxTransactionRows,
          versionRetentionMs: versionRetention,
          signal,
        });
      } catch (error) {
        if (!(error instanceof SchemaBehindError)) throw error;
        const { table, message: reason, hint } = error;
        if (!this.#pause) logger.warn("schema_mismatch_paused", { snapshot: true, reason, hint });
        this.#pause = { table, reason, hint, sinceMs: this.#pause?.sinceMs ?? Date.now() };
        do await sleep(SCHEMA_POLL_MS, signal); while (!await messages.isSchemaNew(error, signal));
      }
    }
  }

  async #waitForFresh(states: readonly StreamState[], signal: AbortSignal): Promise<boolean> {
    const { logger } = this.#replica;
    if (!await this.#source.request(signal)) return false;
    logger.info("Waiting for a snapshot that another node takes now");
    const positions = await this.#positions(signal);
    for (const start = Date.now(); Date.now() - start < FRESH_TIMEOUT_MS;) {
      await sleep(FRESH_POLL_MS, signal);
      const known = await this.#listed(signal);
      if (known.some((each) => leadOf(each.positions, states, positions, true).length > 0)) return true;
    }
    return false;
  }

  /** None while the store cannot be reached. */
  async #listed(signal: AbortSignal): Promise<Generation[]> {
    const { config, logger } = this.#replica;
    try {
      await using store = await this.#source.openStore();
      return await generationsOf(config, store).list(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof HarmonyLiteError)) throw error;
      logger.warn("Unable to list snapshots", { reason: error.message });
      return [];
    }
  }

  #positions(signal: AbortSignal): Promise<Position[]> {
    const { database, schema } = this.#replica;
    return schema.read(() => readPositions(database), signal);
  }
}

function positionIn(state: StreamState, positions: readonly Position[]): Position | undefined {
  return positions.find(({ stream, created }) => stream === state.name && created === state.created);
}

/**
 * Where a snapshot stands in those of some streams in which it is ahead of us. `mustClose`: and from where the stream can be
 * read on. For a node that never read anything the rows that were there before all messages are ahead, too.
 */
function leadOf(
  theirs: readonly Position[],
  states: readonly StreamState[],
  ours: readonly Position[],
  mustClose: boolean,
): Position[] {
  const isNew = ours.length === 0;
  return states.flatMap((state) => {
    const position = positionIn(state, theirs) ??
      (isNew && state.first <= 1 ? beginningOf(state) : undefined);
    if (!position || position.sequence > state.last) return [];
    if (!isNew && position.sequence <= (positionIn(state, ours)?.sequence ?? 0)) return [];
    return !mustClose || position.sequence + 1 >= state.first ? [position] : [];
  });
}

function beginningOf({ name, shard, created }: StreamState): Position {
  return { stream: name, shard, created, sequence: 0, time: 0n };
}

/** A snapshot in a file of its own, for as long as it is needed. */
async function fetched(
  generations: Generations,
  generation: Generation,
  dbPath: string,
  signal: AbortSignal,
): Promise<AsyncDisposable & { readonly path: string }> {
  const path = `${dbPath}-harmonylite-restore`;
  const remove = async (): Promise<void> => {
    for (const end of ["", "-wal", "-shm", "-journal"]) {
      await Deno.remove(path + end).catch(unlessAbsent);
    }
  };
  // One that was left behind when this process was killed.
  await remove();
  await generations.fetch(generation, path, { signal });
  return { path, [Symbol.asyncDispose]: remove };
}

/**
 * Sees to it that there is a database to follow. Where there is none, or a broken one, the newest snapshot takes its place;
 * rejects with a DatabaseError that says what to do when there is no snapshot either.
 */
export async function requireDatabase(
  config: Config,
  { openStore, signal, logger }: {
    /** Called when a snapshot is needed. */
    readonly openStore: () => Promise<AsyncDisposable & { readonly store: SnapshotStore }>;
    readonly signal: AbortSignal;
    readonly logger: Logger;
  },
): Promise<void> {
  const condition = await usableFile(config, { signal, logger });
  if (condition === "sound") return;
  if (condition !== "empty") {
    const reason = condition === "broken" ? "malformed database" : undefined;
    logger.warn("The database cannot be used, looking for a snapshot", {
      file: config.dbPath,
      condition,
      reason,
    });
  }
  const backoff = new Backoff({ firstMs: 1_000, maxMs: LONGEST_PAUSE_MS });
  for (let attempt = 1;; attempt++) {
    try {
      return await restoreWhole(config, condition, { openStore, signal, logger });
    } catch (error) {
      const isTold = !(error instanceof HarmonyLiteError) || error instanceof DatabaseError || signal.aborted;
      if (!isTold) logger.error(NOT_RESTORED, { reason: error.message, hint: error.hint });
      const mayHeal = error instanceof StoreError && error.transient && attempt < WHOLE_ATTEMPTS;
      if (!mayHeal || signal.aborted) throw error;
    }
    await sleep(backoff.next(), signal);
  }
}

async function restoreWhole(
  config: Config,
  condition: FileCondition,
  { openStore, signal, logger }: Parameters<typeof requireDatabase>[1],
): Promise<void> {
  await using opened = config.snapshot.enabled ? await openStore() : undefined;
  const generations = opened && generationsOf(config, opened.store);
  const [newest] = await generations?.list(signal) ?? [];
  if (!generations || !newest) {
    if (condition === "empty") return;
    throw nothingToRestore(config, condition);
  }
  logger.info("Restoring from snapshot", { snapshot: newest.name, bytes: newest.size });
  await using file = await fetched(generations, newest, config.dbPath, signal);
  const aside = await replaceFile(config.dbPath, file.path, { condition, signal });
  logger.info("Restored from snapshot", { snapshot: newest.name, ...aside && { broken: aside } });
}

/** Where the sequence map was removed the whole file is looked at: it may be one that somebody has tried to repair. */
async function usableFile(
  { dbPath, seqMapPath }: Config,
  { signal, logger }: { readonly signal: AbortSignal; readonly logger: Logger },
): Promise<FileCondition> {
  const condition = await judgeFile(dbPath, { isThorough: !hasSequenceMap(seqMapPath), signal });
  if (condition !== "misindexed") return condition;
  if (!await rebuildIndexes(dbPath, signal)) return "broken";
  logger.warn("Indexes of the database were damaged, and have been built anew", { file: dbPath });
  return "sound";
}

function nothingToRestore({ dbPath }: Config, condition: string): DatabaseError {
  const what = condition === "missing" ? "there is no such file" : "it is damaged";
  return new DatabaseError(
    condition === "missing" ? "DATABASE_MISSING" : "DATABASE_BROKEN",
    `Cannot open the database "${dbPath}": ${what}, and there is no snapshot to restore`,
    {
      hint: condition === "missing"
        ? "Start the application once so that it creates the file, or correct db_path."
        : "Put a backup in its place, or a copy of another node's database. It was not touched.",
    },
  );
}
