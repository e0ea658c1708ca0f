import { type CapturedChange, ChangeReader } from "../capture/change_reader.ts";
import { reenterPending } from "../capture/lost_state.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import type { IdRange, IdRanges } from "../lib/id_ranges.ts";
import { changeLog, GLOBAL_LOG } from "../schema/names.ts";
import { type FollowedTable, presentTable, rowKinds, type Schema } from "../schema/followed_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { ownHash } from "./own_change.ts";
import type { Position } from "./position.ts";
import { RowVersions } from "./row_versions.ts";
import { compareVersions } from "./version.ts";

/** Changes that are judged in one transaction. */
const CHANGES_AT_A_TIME = 256;

export interface SettleOptions {
  /** This node's id. */
  readonly node: bigint;
  /** From where on in their streams own changes are in doubt. */
  readonly before: readonly Position[];
  /** Whether those are, too, that are in no stream as far as this node knows. */
  readonly isAlsoUnsent: boolean;
}

/**
 * After a merge or when a stream was lost, inside its write transaction: own changes that are folded into the versions at hand
 * are done with, and will not come back. Others that were sent may be in no stream any more; they are sent again.
 */
export function settleOwnChanges(database: Database, schema: Schema, options: SettleOptions): void {
  const versions = new RowVersions(database);
  const changes = new ChangeReader(database, schema);
  let isRequeued = false;
  for (const table of schema.tables.values()) {
    for (const id of inDoubt(database, table, options)) {
      const change = changes.aside(table.name, id);
      if (!change) continue;
      if (isFolded(table, change, options.node, versions)) finish(database, table, id);
      else isRequeued = requeue(database, table, id) || isRequeued;
    }
  }
  if (isRequeued) reenterPending(database);
}

export interface FoldedOptions {
  readonly database: Database;
  readonly schema: SchemaTracker;
  /** This node's id. */
  readonly node: bigint;
  /** Ids in the change logs, by table. */
  readonly ids: ReadonlyMap<string, IdRanges>;
  /** Of the schema under which they were read. */
  readonly logs: number;
  readonly signal: AbortSignal;
}

/** Is done with those of some own changes that are folded into the versions at hand, and returns how many they were. */
export async function settleFolded(options: FoldedOptions): Promise<number> {
  let settled = 0;
  for (const [table, ids] of options.ids) {
    for (const group of ids.groups(CHANGES_AT_A_TIME)) {
      settled += await options.schema.write(() => settleGroup(table, group, options), options.signal);
    }
  }
  return settled;
}

/** Inside a write transaction. */
function settleGroup(name: string, group: readonly IdRange[], options: FoldedOptions): number {
  const { database, schema: { current }, node, logs } = options;
  const table = current.tables.get(presentTable(current, name));
  if (!table || current.logs !== logs) return 0;
  const versions = new RowVersions(database);
  const changes = new ChangeReader(database, current);
  let settled = 0;
  for (const [first, last] of group) {
    for (let id = first; id <= last; id++) {
      const change = changes.one(table.name, id);
      if (!change || !isFolded(table, change, node, versions)) continue;
      finish(database, table, id);
      settled++;
    }
  }
  return settled;
}

function inDoubt(database: Database, { name }: FollowedTable, options: SettleOptions): bigint[] {
  const which = options.before.map(({ shard, sequence }) => `(shard = ${shard} AND sequence > ${sequence})`);
  if (options.isAlsoUnsent) which.push("sequence IS NULL");
  return database
    .all(
      `SELECT id FROM ${quote(changeLog(name))} WHERE state IS NOT -1 AND (${
        which.join(" OR ")
      }) ORDER BY id`,
    )
    .map(([id]) => id as bigint);
}

function isFolded(
  table: FollowedTable,
  change: CapturedChange,
  node: bigint,
  versions: RowVersions,
): boolean {
  const { shape } = change;
  const kind = rowKinds(table).find(({ key }) => key.every(({ name }, at) => name === shape.key[at]));
  // Captured under another key: what stands under it now says nothing.
  if (!kind) return false;
  const key = kind.key.map(({ name }) => change.values[shape.columns.indexOf(name)] ?? null);
  const stored = versions.get(kind, key);
  return stored !== undefined &&
    compareVersions({ ts: change.ts, node: change.node ?? node, hash: ownHash(change) }, stored) <= 0;
}

/** As if it had come back: housekeeping removes it. */
function finish(database: Database, { name }: FollowedTable, id: bigint): void {
  database.run(`UPDATE ${quote(changeLog(name))} SET state = 1, sequence = 0 WHERE id = ?`, id);
  database.run(`DELETE FROM ${quote(GLOBAL_LOG)} WHERE table_name = ? AND change_table_id = ?`, name, id);
}

/** Whether it was not pending any more. */
function requeue(database: Database, { name }: FollowedTable, id: bigint): boolean {
  return database.run(
    `UPDATE ${quote(changeLog(name))} SET state = 0, shard = NULL, sequence = NULL
     WHERE id = ? AND sequence IS NOT NULL`,
    id,
  ) > 0;
}
