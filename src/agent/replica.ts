import { Applier, type ApplierOptions } from "../apply/applier.ts";
import { MessageApplier } from "../apply/message_applier.ts";
import { settleFolded } from "../apply/own_changes.ts";
import type { TakenOver } from "../capture/left_behind.ts";
import { SchemaTracker } from "../capture/schema_tracker.ts";
import type { Config } from "../config/config.ts";
import { Wakeup } from "../lib/wakeup.ts";
import type { Logger } from "../observe/logger.ts";
import { Publisher } from "../publish/publisher.ts";
import { RoundReader } from "../publish/round.ts";
import { Activity } from "./activity.ts";
import type { LogConnection } from "./log_connection.ts";
import { Database } from "../sqlite/database.ts";
import type { ReplicationLog } from "../stream/replication_log.ts";

/** Room in a message for its headers and for a compressed frame around bytes that do not get smaller. */
const MESSAGE_OVERHEAD_BYTES = 4096;

/** Page cache of the connection that reads change logs from end to end. */
const READER_CACHE_KB = 512;

/** One database followed by this node: its connections, and capture installed in it. */
export class Replica implements Disposable {
  readonly config: Config;
  /** The connection that writes. */
  readonly database: Database;
  /** The connection that reads what is to be sent, on snapshots of its own. */
  readonly reader: Database;
  /** The connection that reads what is compared with other nodes. */
  readonly comparer: Database;
  readonly schema: SchemaTracker;
  readonly messages: MessageApplier;
  readonly logger: Logger;
  /** For the publisher and for what follows the schema. */
  readonly #wakeups = { changes: new Wakeup(), schema: new Wakeup() };
  readonly activity = new Activity(Date.now());

  /** Inside a transaction: prepares what is applied by. */
  private constructor(
    config: Config,
    { database, reader, comparer }: Pick<Replica, "database" | "reader" | "comparer">,
    schema: SchemaTracker,
    logger: Logger,
  ) {
    this.config = config;
    this.database = database;
    this.reader = reader;
    this.comparer = comparer;
    this.schema = schema;
    this.logger = logger;
    this.messages = new MessageApplier({
      database,
      schema,
      node: config.nodeId,
      versionRetentionMs: config.replicationLog.versionRetention,
      onQuarantine: ({ stream, sequence }, reason) =>
        logger.error("Message put into quarantine", { stream, sequence, reason }),
      onUnwritable: ({ table, message: reason, hint }) =>
        logger.error("A table cannot be written by this node", { table, reason, hint }),
      now: Date.now,
      onClockAhead: (node, aheadMs) =>
        logger.warn("A node's clock is far ahead, and all others follow it", {
          node,
          seconds: Math.round(aheadMs / 1000),
          hint:
            "Set the clock of that node right. Until real time has caught up every write counts as later.",
        }),
      onForeign: () =>
        logger.warn("A change carries the id of this node, but was not made in this database", {
          node: config.nodeId,
          hint:
            "It was applied like any other. An older copy of the database was put back, or the database is new; " +
            "or another node has this node_id, and needs one of its own.",
        }),
      onLeftOut: (text) => logger.warn("Left out of what is applied", { reason: text }),
    });
  }

  /** Opens the database and installs capture: from here on nothing that the application writes is missed. */
  static async open(
    config: Config,
    { signal, logger }: { signal: AbortSignal; logger: Logger },
  ): Promise<Replica> {
    using stack = new DisposableStack();
    const database = stack.use(Database.open(config.dbPath));
    const reader = stack.use(Database.open(config.dbPath));
    const comparer = stack.use(Database.open(config.dbPath));
    database.onLocked = (ms) =>
      logger.warn("Another program does not let this node write", {
        reason: "database is locked",
        database: config.dbPath,
        seconds: Math.round(ms / 1000),
        hint: "Look for a transaction that the application leaves open. Nothing is lost meanwhile.",
      });
    for (const connection of [reader, comparer]) {
      await connection.look(() => connection.exec(`PRAGMA cache_size = -${READER_CACHE_KB}`), signal);
    }
    const listener = {
      onChange: (tables: readonly string[]): void =>
        logger.info("Triggers installed", { tables: tables.join(", ") }),
      onLeftOut: (table: string, reason: string): void =>
        logger.warn("Table is not replicated", { table, reason }),
      onTakenOver: (left: TakenOver): void => sayTakenOver(left, logger),
    };
    const schema = await SchemaTracker.open(database, config.tables, listener, signal);
    const connections = { database, reader, comparer };
    const replica = await schema.read(() => new Replica(config, connections, schema, logger), signal);
    stack.move();
    return replica;
  }

  /** To be called when the database files were written. */
  notify(): void {
    this.#wakeups.changes.notify();
    this.#wakeups.schema.notify();
  }

  /** Follows schema changes until the signal is aborted. */
  followSchema(signal: AbortSignal): Promise<void> {
    return this.schema.run({ wakeup: this.#wakeups.schema, signal });
  }

  /** What reads the streams and applies them. */
  applier({ log, registry }: LogConnection, closeGaps: ApplierOptions["closeGaps"]): Applier {
    return new Applier({
      database: this.database,
      schema: this.schema,
      log,
      registry,
      messages: this.messages,
      logger: this.logger,
      closeGaps,
      node: this.config.nodeId,
      shards: this.config.replicationLog.shards,
      onApplied: (applied) => this.activity.noteApplied(applied),
    });
  }

  /** What sends captured changes. */
  publisher({ log, registry }: LogConnection, mayPublish: () => boolean): Publisher {
    const { database, schema, logger, activity, config: { nodeId: node, pollingInterval } } = this;
    return new Publisher({
      announce: (schema, signal) => registry.announce(schema, signal),
      database,
      schema,
      rounds: this.#rounds(log),
      log,
      node,
      logger,
      wakeup: this.#wakeups.changes,
      pollingIntervalMs: pollingInterval,
      mayPublish,
      settle: ({ ids, logs }, signal) => settleFolded({ database, schema, node, ids, logs, signal }),
      onPublished: (changes, ms) => activity.notePublished(changes, ms),
      onLooked: (what, ms) => activity.onTime(what, ms * 1000),
    });
  }

  #rounds(log: ReplicationLog): RoundReader {
    const { maxBatch, compress, maxTransactionRows, shards } = this.config.replicationLog;
    return new RoundReader(this.reader, this.config.nodeId, {
      maxBatch,
      compress,
      maxTransactionRows,
      shards,
      scanMaxChanges: this.config.scanMaxChanges,
      maxMessageBytes: log.maxPayload - MESSAGE_OVERHEAD_BYTES,
    }, this.schema.current);
  }

  [Symbol.dispose](): void {
    this.comparer.close();
    this.reader.close();
    this.database.close();
  }
}

function sayTakenOver({ pending, lost }: TakenOver, logger: Logger): void {
  logger.info("The database is taken over from the Go program of this name", { pending });
  if (lost === 0) return;
  logger.warn(
    "Changes that the Go program had not sent are of tables that are not replicated: they are dropped",
    {
      changes: lost,
    },
  );
}
