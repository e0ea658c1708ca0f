import { compareVersions } from "../apply/version.ts";
import { ownHash } from "../apply/own_change.ts";
import type { RowVersions } from "../apply/row_versions.ts";
import type { Position } from "../apply/position.ts";
import { type CapturedChange, ChangeReader } from "../capture/change_reader.ts";
import { reenterPending } from "../capture/lost_state.ts";
import { changeLog, GLOBAL_LOG } from "../schema/names.ts";
import { type FollowedTable, rowKinds, type Schema } from "../schema/followed_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";

/**
 * After a merge, and in its transaction: own changes that the snapshot has folded in will not come back, and are done with.
 * Others of these streams that were sent may have lain before its positions without being in it; they are sent again.
 *
 * @param before positions of the streams that the merge has moved, as they were
 */
export function settleOwnChanges(
  database: Database,
  schema: Schema,
  options: { readonly node: bigint; readonly versions: RowVersions; readonly before: readonly Position[] },
): void {
  const changes = new ChangeReader(database, schema);
  let isRequeued = false;
  for (const table of schema.tables.values()) {
    for (const id of unread(database, table, options.before)) {
      const change = changes.aside(table.name, id);
      if (!change) continue;
      if (isFolded(table, change, options)) finish(database, table, id);
      else isRequeued = requeue(database, table, id) || isRequeued;
    }
  }
  if (isRequeued) reenterPending(database);
}

/** Changes that are in no stream as far as this node knows, or beyond the position at which it stood. */
function unread(database: Database, { name }: FollowedTable, before: readonly Position[]): bigint[] {
  const sent = before.map(({ shard, sequence }) => `OR (shard = ${shard} AND sequence > ${sequence})`);
  return database
    .all(
      `SELECT id FROM ${quote(changeLog(name))} WHERE state IS NOT -1 AND (sequence IS NULL ${sent.join(" ")})
       ORDER BY id`,
    )
    .map(([id]) => id as bigint);
}

function isFolded(
  table: FollowedTable,
  change: CapturedChange,
  { node, versions }: { readonly node: bigint; readonly versions: RowVersions },
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
