import { logIncomplete } from "../apply/incomplete.ts";
import { dropTriggers } from "../capture/change_log.ts";
import { removeWatchFolders } from "../capture/file_events.ts";
import { SchemaTracker } from "../capture/schema_tracker.ts";
import { type LockHolder, lockPath, ProcessLock, requireUser } from "../capture/process_lock.ts";
import { keepRowids } from "../capture/rowid_keeper.ts";
import type { Config } from "../config/config.ts";
import { HarmonyLiteError, messageOf } from "../lib/errors.ts";
import { removeIfThere } from "../lib/files.ts";
import type { Logger } from "../observe/logger.ts";
import { GLOBAL_LOG, ORIGINAL_GLOBAL_LOG, SCHEMA_HISTORY } from "../schema/names.ts";
import { hasTable, listCapture, listOwn } from "../schema/own_tables.ts";
import { workingCopyPath } from "../snapshot/working_copy.ts";
import { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { serverFolder } from "./embedded_server.ts";
import { COMMAND_ATTEMPTS, connectNode } from "./log_connection.ts";
import { nodeStatePath } from "./node_state.ts";
import { Replica } from "./replica.ts";
import { stopNode, stopRequestPath } from "./stop_request.ts";

/** How long what is pending may take to be sent. */
const SEND_TIMEOUT_MS = 60_000;
/** A server of our own has just been started, and looks for those of other nodes first. */
const EMBEDDED_ATTEMPTS = 10;

export interface CleanUpOptions {
  /** Remove every trace, also versions, positions and clock: for a database that is not replicated any more. */
  readonly all: boolean;
  /** Go on although captured changes cannot be sent: they are lost. */
  readonly discardPending: boolean;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/**
 * Takes HarmonyLite out of a database: triggers and change logs, after what is pending was sent. Row versions, positions
 * and the clock stay unless `all`, so that a node which comes back after a schema change goes on where it was.
 */
export async function cleanUp(config: Config, options: CleanUpOptions): Promise<void> {
  using _lock = await takeOver(config, options);
  if (!options.discardPending) await sendPending(config, options);
  using database = Database.open(config.dbPath);
  await database.write(() => {
    const pending = countPending(database);
    if (pending > 0) options.logger.warn("Pending changes are discarded", { changes: pending });
    dropTriggers(database);
    // While versions stay, so must the rowids that they speak of.
    if (options.all) keepRowids(database, []);
    for (const table of ownTables(database, options.all)) database.exec(`DROP TABLE ${quote(table)}`);
  }, options.signal);
  if (options.all) removeFiles(config);
}

/** The process lock. A node that runs is asked to stop, and waited for. */
async function takeOver({ dbPath }: Config, { signal, logger }: CleanUpOptions): Promise<ProcessLock> {
  const onAsk = ({ process }: Partial<LockHolder>): void =>
    logger.info("Asking the running node to stop", { process });
  requireUser(dbPath); // Before a node is stopped for nothing.
  await stopNode(dbPath, { signal, onAsk });
  return ProcessLock.acquire(dbPath);
}

/** Sends what is pending, or throws: nothing is removed then. */
async function sendPending(config: Config, { signal, logger }: CleanUpOptions): Promise<void> {
  if (!await needsSending(config, signal)) return;
  if (!config.publish) throw notSent("this node has publish = false");
  const attempts = config.nats.urls.length > 0 ? COMMAND_ATTEMPTS : EMBEDDED_ATTEMPTS;
  try {
    using replica = await Replica.open(config, { signal, logger });
    await using connection = await connectNode(config, { signal, logger, attempts });
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(SEND_TIMEOUT_MS)]);
    // Already asked to stop, a publisher sends what is pending and returns.
    await replica.publisher(connection, () => true).run({ signal: AbortSignal.abort(), deadline });
    if (await replica.database.look(() => countPending(replica.database), signal) === 0) return;
  } catch (cause) {
    signal.throwIfAborted();
    throw notSent(messageOf(cause), cause);
  }
  throw notSent("some are of tables that this node does not follow");
}

/** Whether anything is pending. Without their change log, own changes that come back cannot be told from others' any more. */
async function needsSending(config: Config, signal: AbortSignal): Promise<boolean> {
  using database = Database.open(config.dbPath);
  const logs = [GLOBAL_LOG, ORIGINAL_GLOBAL_LOG];
  if (!await database.look(() => logs.some((log) => hasTable(database, log)), signal)) return false;
  const schema = await SchemaTracker.open(database, config.tables, {}, signal);
  return await schema.write(() => {
    logIncomplete(database, schema.current);
    return countPending(database) > 0;
  }, signal);
}

function notSent(why: string, cause?: unknown): HarmonyLiteError {
  return new HarmonyLiteError(
    "PENDING_CHANGES",
    `Cannot clean up: pending changes could not be sent: ${why}`,
    {
      cause,
      hint:
        "Nothing was removed. Remove the obstacle and try again, or lose these changes with --discard-pending.",
    },
  );
}

function countPending(database: Database): number {
  return hasTable(database, GLOBAL_LOG) ? database.count(`SELECT count(*) FROM ${quote(GLOBAL_LOG)}`) : 0;
}

/** Our tables that go. Quarantine and conflicts stay as well: they are for a person to look at. */
function ownTables(database: Database, all: boolean): string[] {
  // With the change logs goes what tells own changes that have yet to come back from those of another database.
  return all || !hasTable(database, SCHEMA_HISTORY) ? listOwn(database, "table") : listCapture(database);
}

function removeFiles(config: Config): void {
  const { seqMapPath, dbPath } = config;
  removeWatchFolders(dbPath);
  const locks = [dbPath, workingCopyPath(dbPath)].map(lockPath);
  const ours = [seqMapPath, serverFolder(dbPath), nodeStatePath(dbPath), stopRequestPath(dbPath), ...locks];
  for (const path of ours) removeIfThere(path, { recursive: true });
}
