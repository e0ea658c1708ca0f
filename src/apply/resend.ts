import { reenterPending } from "../capture/lost_state.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { logRow } from "../capture/trigger_sql.ts";
import { BATCH, changeLog, FINISHED_BATCH, PART, valueColumn } from "../schema/names.ts";
import { everFollowed, listOwn } from "../schema/own_tables.ts";
import { type FollowedTable, rowKinds } from "../schema/followed_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { exactColumns, ExactValues } from "../sqlite/exact_row.ts";
import { quote } from "../sqlite/identifier.ts";
import type { SqlValue } from "../wire/event.ts";
import { keyText } from "./key_text.ts";
import type { Overlay } from "./overlay.ts";
import { settleOwnChanges } from "./own_changes.ts";
import { forgetOtherStreams, type Position, STARTING_OVER, storePosition } from "./position.ts";
import { shardOfRow } from "./row_shard.ts";
import { bindable, hasKey, keyParameters } from "./row_sql.ts";
import { RowVersions, type StoredVersion } from "./row_versions.ts";

/** Rows that are queued in one transaction: an application that wants to write waits no longer than for an apply transaction. */
const ROWS_AT_A_TIME = 500;

/** The lowest version that travels. A row that had none when it was displaced has left a mark, which lies below. */
const LOWEST = { ts: 1n, node: 1n };

export interface ResendOptions {
  readonly database: Database;
  readonly schema: SchemaTracker;
  readonly overlay: Overlay;
  /** This node's id. */
  readonly node: bigint;
  readonly shards: number;
  readonly signal: AbortSignal;
}

/**
 * A stream was created anew, and what it held is gone: so each node sends all that it knows of its rows once more, each
 * under the version that it has, and what others had not read yet comes to them. Versions begin anew with the stream, as
 * they are what has been read of it.
 *
 * Crash points: own changes that were in the lost stream are pending again in the first transaction, whose position is of no
 * stream; so the next start goes on with the rows that still have a version. The last one has the new stream's position.
 */
export async function sendAllAgain(
  position: Position,
  lost: Position,
  options: ResendOptions,
): Promise<void> {
  const { database, schema, overlay, signal } = options;
  await schema.write(() => {
    // A batch that is on its way now may be lost, or a part of it.
    schema.invalidateReads();
    requeueUnread(lost, options);
    forgetOtherStreams(database, position.shard, position.stream);
    for (const table of [BATCH, PART, FINISHED_BATCH]) {
      database.run(`DELETE FROM ${quote(table)} WHERE stream = ?`, position.stream);
    }
    storePosition(database, { ...position, created: STARTING_OVER });
  }, signal);
  overlay.reload();
  for (const name of schema.current.tables.keys()) await sendTableAgain(name, position.shard, options);
  await schema.write(() => {
    reenterPending(database);
    storePosition(database, position);
  }, signal);
  overlay.reload();
}

/**
 * Own changes that lay in a lost stream without having been read from it become pending again; the others have come back,
 * whatever the position in the new stream will be. Their sequences do not tell which those are: some may have been sent to
 * the new stream already. Inside a write transaction.
 */
function requeueUnread(lost: Position, { database, schema: { current }, node }: ResendOptions): void {
  settleOwnChanges(database, current, { node, before: [{ ...lost, sequence: 0 }], isAlsoUnsent: false });
  const there = new Set(listOwn(database, "table"));
  // What is left is of tables that are not followed now: none of it is lost, should they be again.
  for (const log of everFollowed(database).map(changeLog).filter((name) => there.has(name))) {
    database.run(
      `UPDATE ${quote(log)} SET state = 0, shard = NULL, sequence = NULL WHERE shard = ? AND sequence > 0`,
      BigInt(lost.shard),
    );
  }
  reenterPending(database);
}

async function sendTableAgain(name: string, shard: number, options: ResendOptions): Promise<void> {
  const { schema, overlay, signal } = options;
  const after = new Map<string, SqlValue[]>();
  for (let more = true; more;) {
    more = await schema.write(() => {
      overlay.begin();
      const table = schema.current.tables.get(name);
      return (table ? rowKinds(table) : []).some((kind) => queueSome(kind, shard, after, options));
    }, signal);
  }
}

/** Queues the next rows of one kind; false when there are no more. */
function queueSome(
  table: FollowedTable,
  shard: number,
  after: Map<string, SqlValue[]>,
  { database, overlay, node, shards }: ResendOptions,
): boolean {
  const versions = new RowVersions(database);
  const last = after.get(table.versionTable);
  const keys = readKeys(database, table, last);
  for (const key of keys) {
    const version = versions.get(table, key)!;
    if (shardOfRow(table, key, shards) !== shard) continue;
    const own = overlay.newest(table, keyText(table.key, key));
    if (!own || own.ts <= version.ts) queue(database, table, key, version, node);
    versions.set(table, key, undefined);
  }
  if (keys.length > 0) after.set(table.versionTable, keys.at(-1)!);
  return keys.length === ROWS_AT_A_TIME;
}

function readKeys(database: Database, table: FollowedTable, after: SqlValue[] | undefined): SqlValue[][] {
  const columns = table.key.map(({ name }) => quote(valueColumn(name)));
  const list = columns.join(", ");
  const where = after ? `WHERE (${list}) > (${keyParameters(after).join(", ")})` : "";
  const exact = new ExactValues(database);
  return database
    .all(
      `SELECT ${exactColumns(columns)} FROM ${quote(table.versionTable)} ${where} ORDER BY ${list} LIMIT ?`,
      ...(after ?? []).map(bindable),
      BigInt(ROWS_AT_A_TIME),
    )
    .map((row) => exact.of(row));
}

/** Logs a row as it is now as the change that its version was made of; as a delete, when it is gone or was displaced. */
function queue(
  database: Database,
  table: FollowedTable,
  key: SqlValue[],
  version: StoredVersion,
  ownNode: bigint,
): void {
  const log = quote(changeLog(table.name));
  const [logIt] = logRow(table, "update", hasKey(table, keyParameters(key)));
  if (database.run(logIt!, ...key.map(bindable)) === 0) {
    const columns = table.key.map(({ name }) => quote(valueColumn(name)));
    database.run(
      `INSERT INTO ${log} (${columns.join(", ")}, type, state, shape)
       VALUES (${keyParameters(key).join(", ")}, 'delete', 0, ${table.shapeId})`,
      ...key.map(bindable),
    );
  }
  const { ts, node } = version.ts === 0n ? LOWEST : version;
  database.run(
    `UPDATE ${log} SET ts = ?1, created_at = ?1 / 1000000, node = ?2 WHERE id = (SELECT max(id) FROM ${log})`,
    ts,
    node === ownNode ? null : node,
  );
}
