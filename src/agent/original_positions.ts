import { type Position, readPositions, storePosition } from "../apply/position.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { Backoff } from "../lib/backoff.ts";
import { messageOf, StreamError } from "../lib/errors.ts";
import { sleep } from "../lib/sleep.ts";
import type { Logger } from "../observe/logger.ts";
import { ORIGINAL_GLOBAL_LOG } from "../schema/names.ts";
import { hasTable } from "../schema/own_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import type { ReplicationLog, StreamState } from "../stream/replication_log.ts";
import { readSequenceMap, type SequenceMap } from "./sequence_map.ts";

/** Pauses while the streams cannot be reached. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

export interface OriginalOptions {
  readonly database: Database;
  readonly schema: SchemaTracker;
  readonly log: ReplicationLog;
  /** Path of the sequence map that the Go original kept. */
  readonly sequenceMapPath: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Decides where a database that the Go original left behind stands in the streams; to be called before they are read.
 *
 * Its sequence map cannot be believed: publishing moved it on, past messages of others that were never applied. So a stream is
 * read again from its first message, which also gives each row its version. The map only tells whether there is a gap: when it
 * reaches up to the first message, nothing that was truncated is missed; when it does not, or there is none, the stream
 * counts as never read, and the rest comes from a snapshot.
 */
export async function adoptOriginalPositions(options: OriginalOptions): Promise<void> {
  const { database, schema, signal, logger } = options;
  if (!await schema.read(() => hasTable(database, ORIGINAL_GLOBAL_LOG), signal)) return;
  const states = await streamsOf(options);
  const map = mapOf(options.sequenceMapPath);
  const adopted = await schema.write(() => {
    const known = new Set(readPositions(database).map(({ stream }) => stream));
    const positions = states.filter(({ name }) => !known.has(name)).flatMap((state) => startOf(state, map));
    for (const position of positions) storePosition(database, position);
    database.exec(`DROP TABLE IF EXISTS ${quote(ORIGINAL_GLOBAL_LOG)}`);
    return positions;
  }, signal);
  logger.info(
    "The streams are read again from their first messages, as the Go program may have missed some",
    {
      streams: adopted.map(({ stream, sequence }) => `${stream} from ${sequence + 1}`).join(", "),
    },
  );
}

/** The position before a stream's first message, if the map reaches so far. One that it does not name was empty so far. */
function startOf(
  { name, shard, created, first, last }: StreamState,
  map: SequenceMap | undefined,
): Position[] {
  if (!map) return [];
  const sequence = map.get(name) ?? 0;
  const isCovered = sequence + 1 >= first && sequence <= last;
  return isCovered ? [{ stream: name, shard, created, sequence: first - 1, time: 0n }] : [];
}

function mapOf(path: string): SequenceMap | undefined {
  try {
    return readSequenceMap(path);
  } catch {
    // A torn map tells as little as none, and was reported at the start.
    return undefined;
  }
}

async function streamsOf({ log, logger, signal }: OriginalOptions): Promise<StreamState[]> {
  const backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
  for (;;) {
    try {
      return await log.streams();
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      logger.warn("Unable to read", { reason: messageOf(error) });
    }
    await sleep(backoff.next(), signal);
  }
}
