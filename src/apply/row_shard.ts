import type { FollowedTable } from "../schema/followed_tables.ts";
import type { SqlValue } from "../wire/event.ts";
import { shardOf, shardOfTable } from "../wire/shard.ts";

/** The shard, 1 … `shards`, to which changes of a row are sent; `key` in the order of the table's key. */
export function shardOfRow(table: FollowedTable, key: readonly SqlValue[], shards: number): number {
  if (table.oneShard) return shardOfTable(table.name, shards);
  const sorted = table.key.map(({ name }, at) => [name, key[at]!] as const).sort(([a], [b]) =>
    a < b ? -1 : 1
  );
  return shardOf(table.name, sorted.map(([name]) => name), sorted.map(([, value]) => value), shards);
}
