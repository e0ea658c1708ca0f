import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { readClock } from "../capture/trigger_sql.ts";
import type { Logger } from "../observe/logger.ts";
import { GLOBAL_LOG, NODE } from "../schema/names.ts";
import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";

/**
 * Writes into the database which node it belongs to. One that belonged to another was copied, or its `node_id` was
 * changed: that is said, with what comes of it, and it belongs to this node from then on.
 *
 * What the other had captured but not sent is sent by this node: after a change of the id nobody else has it. Where it is
 * a copy the other sends it as well; both say the same of the same rows at the same time, so it does not matter who wins.
 */
export async function takeOwnership(
  database: Database,
  schema: SchemaTracker,
  { node, logger, signal }: { node: bigint; logger: Logger; signal: AbortSignal },
): Promise<void> {
  const found = await schema.write(() => {
    const owner = database.value(`SELECT node FROM ${quote(NODE)} WHERE id = 1`);
    if (owner === node) return undefined;
    database.run(
      `INSERT INTO ${quote(NODE)} (id, node, since) VALUES (1, ?, ?)
       ON CONFLICT (id) DO UPDATE SET node = excluded.node, since = excluded.since`,
      node,
      readClock(database),
    );
    return { owner, pending: database.count(`SELECT count(*) FROM ${quote(GLOBAL_LOG)}`) };
  }, signal);
  if (typeof found?.owner !== "bigint") return;
  logger.warn("This database belonged to another node so far", {
    node,
    before: found.owner,
    pending: found.pending,
    hint: "It is a copy of that node's, or its node_id was changed. It belongs to this node now, " +
      "and what is pending in it is sent as this node's.",
  });
}
