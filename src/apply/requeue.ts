import type { Database } from "../sqlite/database.ts";
import { literal, quote } from "../sqlite/identifier.ts";
import { changeLog, GLOBAL_LOG } from "../schema/names.ts";
import { everFollowed, listOwn } from "../schema/own_tables.ts";
import type { Position } from "./position.ts";

/**
 * Own changes that lay in a lost stream, beyond what was read from it, become pending again; inside a write transaction.
 * They keep their clock, so they count as what they are: old.
 */
export function requeueUnread(database: Database, lost: Position): void {
  const there = new Set(listOwn(database, "table"));
  for (const table of everFollowed(database)) {
    const log = changeLog(table);
    if (!there.has(log)) continue;
    const unread = `shard = ${lost.shard} AND sequence > ${lost.sequence}`;
    database.exec(
      `INSERT INTO ${quote(GLOBAL_LOG)} (change_table_id, table_name)
         SELECT id, ${literal(table)} FROM ${quote(log)} WHERE ${unread} ORDER BY id;
       UPDATE ${quote(log)} SET state = 0, shard = NULL, sequence = NULL WHERE ${unread}`,
    );
  }
}
