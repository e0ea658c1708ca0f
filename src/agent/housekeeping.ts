import { ON_ITS_WAY, type Overlay } from "../apply/overlay.ts";
import { readPositions } from "../apply/position.ts";
import { dropCoveredBatches } from "../apply/waiting_batches.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { pause, yieldToEventLoop } from "../lib/sleep.ts";
import type { Logger } from "../observe/logger.ts";
import { rowKinds } from "../schema/followed_tables.ts";
import { changeLog, GLOBAL_LOG } from "../schema/names.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { hasSequenceMap, type SequenceMap, writeSequenceMap } from "./sequence_map.ts";

/** Rows removed in one transaction: an application that wants to write waits no longer than for an apply transaction. */
const MAX_REMOVED_PER_TRANSACTION = 2000;
/** How often expired tombstones are looked for, at least. */
const MAX_PRUNE_INTERVAL_MS = 3_600_000;

export interface HousekeepingOptions {
  readonly database: Database;
  readonly schema: SchemaTracker;
  readonly overlay: Overlay;
  readonly logger: Logger;
  readonly cleanupIntervalMs: number;
  readonly versionRetentionMs: number;
  readonly sequenceMapPath: string;
  /** False until the node has recovered, if it has to: a crash meanwhile must leave a removed map removed. */
  readonly mayMirror: () => boolean;
  /** False on a node that applies nothing: there a change is done with when it is acknowledged. */
  readonly replicate: boolean;
  readonly now: () => number;
}

/** Keeps what we put into the database small, and the sequence map true. */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  #written: SequenceMap | undefined;
  #prunedAt = 0;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  async run({ signal }: { signal: AbortSignal }): Promise<void> {
    while (!signal.aborted) {
      await pause(this.#options.cleanupIntervalMs, signal);
      if (!signal.aborted) await this.#cleanUp(signal);
      await this.mirrorPositions();
    }
  }

  async #cleanUp(signal: AbortSignal): Promise<void> {
    const { logger, schema, overlay } = this.#options;
    let removed = 0;
    for (const table of schema.current.tables.keys()) removed += await this.#removeSettled(table, signal);
    if (removed > 0) logger.info("Cleaned up DB change logs", { rows: removed });
    await schema.read(() => overlay.shrink(), signal);
    await this.#prune(signal);
  }

  async #prune(signal: AbortSignal): Promise<void> {
    const { database, schema, versionRetentionMs, now } = this.#options;
    if (now() - this.#prunedAt < Math.min(MAX_PRUNE_INTERVAL_MS, versionRetentionMs)) return;
    this.#prunedAt = now();
    await schema.write(() => {
      for (const { stream, time } of readPositions(database)) dropCoveredBatches(database, stream, time);
      for (const table of schema.current.tables.keys()) this.#removeOrphans(table);
    }, signal);
    let removed: number;
    do {
      await yieldToEventLoop();
      removed = await schema.write(() => this.#pruneTombstones(), signal);
    } while (removed > 0 && !signal.aborted);
  }

  /**
   * Removes changes that came back, from the oldest up to the first that did not, but never the newest one, from which the
   * next gets its id. The scan starts at the front and stops early: so the change log needs no index for the application to
   * pay for.
   */
  async #removeSettled(table: string, signal: AbortSignal): Promise<number> {
    const { database, schema, replicate } = this.#options;
    const log = quote(changeLog(table));
    const waits = replicate ? ON_ITS_WAY : "(log.sequence IS NULL AND log.state IS NOT -1)";
    const range =
      `SELECT min(id), coalesce((SELECT id FROM ${log} AS log WHERE ${waits} ORDER BY id LIMIT 1), max(id))
      FROM ${log}`;
    const isFollowed = (): boolean => schema.current.tables.has(table);
    const found = await schema.read(() => isFollowed() ? database.get(range) : undefined, signal);
    const [first, end] = (found ?? [null, 0n]) as [bigint | null, bigint];
    // Looked at again: a user may drop the change log meanwhile, and ids begin anew.
    const remove = `DELETE FROM ${log} WHERE id IN
      (SELECT id FROM ${log} AS log WHERE id < ? AND NOT ${waits} ORDER BY id LIMIT ?)`;
    let removed = 0;
    for (let more = first !== null && first < end; more;) {
      const count = await schema.write(
        () => isFollowed() ? database.run(remove, end, BigInt(MAX_REMOVED_PER_TRANSACTION)) : 0,
        signal,
      );
      removed += count;
      more = count === MAX_REMOVED_PER_TRANSACTION;
    }
    return removed;
  }

  /** A crash while a large batch is being marked leaves entries of the global log whose changes have been removed since. */
  #removeOrphans(table: string): void {
    this.#options.database.run(
      `DELETE FROM ${quote(GLOBAL_LOG)} WHERE table_name = ?
       AND change_table_id < (SELECT min(id) FROM ${quote(changeLog(table))})`,
      table,
    );
  }

  /**
   * A tombstone counts as absent by stream time; what is removed here does so in every stream. Returns how many went: some
   * of each table, those of one message together.
   */
  #pruneTombstones(): number {
    const { database, schema, versionRetentionMs } = this.#options;
    const times = readPositions(database).map(({ time }) => time);
    if (times.length === 0) return 0;
    const oldest = times.reduce((a, b) => a < b ? a : b) - BigInt(versionRetentionMs) * 1_000_000n;
    let removed = 0;
    for (const { versionTable } of [...schema.current.tables.values()].flatMap(rowKinds)) {
      const versions = quote(versionTable);
      removed += database.run(
        `DELETE FROM ${versions} WHERE deleted <> 0 AND deleted <= (SELECT max(deleted) FROM
         (SELECT deleted FROM ${versions} WHERE deleted <> 0 AND deleted < ? ORDER BY deleted LIMIT ?))`,
        oldest,
        BigInt(MAX_REMOVED_PER_TRANSACTION),
      );
    }
    return removed;
  }

  /** Writes the sequence map if a position moved; not if the user removed it meanwhile, as a wish for the next start. */
  async mirrorPositions(): Promise<void> {
    const { database, schema, sequenceMapPath, mayMirror, logger } = this.#options;
    if (!mayMirror()) return;
    const positions = await schema.read(() => readPositions(database));
    const sequences = new Map(positions.map(({ stream, sequence }) => [stream, sequence]));
    if (this.#written !== undefined) {
      if (!hasSequenceMap(sequenceMapPath)) return;
      if (isSame(this.#written, sequences)) return;
    }
    logger.info("Waiting checkpoint...", { file: sequenceMapPath });
    writeSequenceMap(sequenceMapPath, sequences);
    this.#written = sequences;
  }
}

function isSame(a: SequenceMap, b: SequenceMap): boolean {
  return a.size === b.size && [...a].every(([stream, sequence]) => b.get(stream) === sequence);
}
