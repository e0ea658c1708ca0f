import { type Position, readPosition } from "../apply/position.ts";
import { SchemaBehindError } from "../apply/schema_behind.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observe/logger.ts";
import type { Generation } from "../snapshot/manifest.ts";
import { SnapshotError } from "../snapshot/snapshot_error.ts";
import { strip } from "../snapshot/take.ts";
import type { ReplicationLog, StreamState } from "../stream/replication_log.ts";
import { COMMAND_ATTEMPTS, connectBeside } from "./log_connection.ts";
import { Replica } from "./replica.ts";

/** Number, 1 is the newest, of the newest snapshot in which nothing is from after a moment, Unix nanoseconds. */
export function newestBefore(generations: readonly Generation[], untilNs: bigint): string {
  const at = generations.findIndex(({ positions }) =>
    positions.length > 0 && positions.every(({ time }) => time <= untilNs)
  );
  if (at >= 0) return String(at + 1);
  throw new SnapshotError(
    "SNAPSHOT_MISSING",
    `Cannot restore up to ${timeText(untilNs)}: no snapshot that is kept is from before`,
    { hint: "`harmonylite snapshot list` shows what is kept; snapshot.keep says how many are." },
  );
}

/**
 * Applies to the file of a snapshot what the streams have stored up to a moment, Unix nanoseconds. Transactions stay whole on
 * each stream. Rejects with a SnapshotError when a stream does not hold all of it any more, or goes beyond a schema change.
 */
export async function replay(
  config: Config,
  path: string,
  untilNs: bigint,
  { signal, logger }: { readonly signal: AbortSignal; readonly logger: Logger },
): Promise<void> {
  await using connection = await connectBeside(config, { signal, logger, attempts: COMMAND_ATTEMPTS });
  using replica = await Replica.open({ ...config, dbPath: path }, { signal, logger });
  for (const state of await connection.log.streams()) {
    await replayStream(replica, connection.log, state, untilNs, signal);
  }
  await strip(replica.database, signal);
  replica.database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
}

async function replayStream(
  { database, messages }: Replica,
  log: ReplicationLog,
  state: StreamState,
  untilNs: bigint,
  signal: AbortSignal,
): Promise<void> {
  let position = startOf(state, readPosition(database, state.name));
  if (position.sequence >= state.last) return;
  try {
    const known = { created: state.created, timeNs: position.time };
    for await (const group of log.read(state.name, position.sequence + 1, signal, known)) {
      const wanted = group.filter(({ timeNs, sequence }) => timeNs <= untilNs && sequence <= state.last);
      for (const last = wanted.at(-1)?.sequence ?? 0; position.sequence < last;) {
        position = await messages.apply(position, wanted, signal);
      }
      if (wanted.length < group.length || position.sequence >= state.last) return;
    }
  } catch (cause) {
    if (!(cause instanceof SchemaBehindError)) throw cause;
    throw new SnapshotError("REPLAY_ENDED", `Cannot replay stream "${state.name}": ${cause.message}`, {
      cause,
      hint: "The schema was changed after the snapshot. Choose an earlier moment, or a newer snapshot.",
    });
  }
}

function startOf(state: StreamState, stored: Position | undefined): Position {
  const isSame = stored !== undefined && stored.created === state.created;
  if (isSame && stored.sequence + 1 >= state.first) return stored;
  if (!stored && state.first <= 1) {
    return { stream: state.name, shard: state.shard, created: state.created, sequence: 0, time: 0n };
  }
  throw new SnapshotError(
    "REPLAY_IMPOSSIBLE",
    `Cannot replay stream "${state.name}": it does not hold what came after the snapshot any more`,
    { hint: "Leave out --until, or choose a newer snapshot. A larger max_entries keeps changes for longer." },
  );
}

function timeText(ns: bigint): string {
  return new Date(Number(ns / 1_000_000n)).toISOString();
}
