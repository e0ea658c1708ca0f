import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { RowWatcher } from "../support/row_watcher.ts";

const SCHEMA = `CREATE TABLE t (id INTEGER PRIMARY KEY, value TEXT);
  INSERT INTO t VALUES (1, 'start'), (2, 'start'), (3, 'start');`;
const WATCHED = `SELECT max(value) FILTER (WHERE id = 1), max(value) FILTER (WHERE id = 2),
  max(value) FILTER (WHERE id = 3) FROM t`;
const TRANSACTIONS = 600;

/** Writes one row and then two in one transaction, over and over, each value only once. */
async function writeAgainAndAgain(node: ClusterNode, name: string): Promise<void> {
  using db = new DatabaseSync(node.dbPath, { timeout: 30_000 });
  for (let at = 0; at < TRANSACTIONS; at++) {
    db.exec(
      at % 2 === 0
        ? `UPDATE t SET value = '${name}${at}' WHERE id = 1`
        : `BEGIN IMMEDIATE; UPDATE t SET value = '${name}${at}' WHERE id = 2;
           UPDATE t SET value = '${name}${at}' WHERE id = 3; COMMIT`,
    );
    // As short as it can be: the other writer is in this process too.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** By row and value, the version with which it was written. */
function versionsOf(nodes: readonly ClusterNode[]): Map<string, [ts: bigint, node: number]> {
  return new Map(
    nodes.flatMap((node, at) =>
      node.read('SELECT val_id, val_value, ts FROM "__harmonylite__t_change_log"')
        .map(([id, value, ts]): [string, [bigint, number]] => [`${id} ${value}`, [ts as bigint, at]])
    ),
  );
}

Deno.test("of rows written on two nodes without pause no reader sees an older value after a newer one", async () => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    // The change logs are what the values are judged by.
    choose: () => ({ top: { cleanup_interval: 3_600_000 } }),
  });
  await using first = new RowWatcher(cluster.node(1).dbPath, WATCHED);
  await using second = new RowWatcher(cluster.node(2).dbPath, WATCHED);
  await Promise.all([writeAgainAndAgain(cluster.node(1), "a"), writeAgainAndAgain(cluster.node(2), "b")]);
  await cluster.converge();
  const versions = versionsOf(cluster.nodes);
  for (const [reader, seen] of [await first.stop(), await second.stop()].entries()) {
    assert.equal(seen.length, 3);
    for (const [column, values] of seen.entries()) {
      const known = values.filter((value) => value !== "start").map((value) =>
        versions.get(`${column + 1} ${value}`)!
      );
      const regressions = known.filter(([ts, node], at) => {
        const [lastTs, lastNode] = known[at - 1] ?? [0n, 0];
        return ts < lastTs || (ts === lastTs && node < lastNode);
      });
      assert.equal(regressions.length, 0, `node ${reader + 1}, row ${column + 1}: ${values.join(" ")}`);
      // Else nothing was watched: the rows changed hands while the reader looked.
      const changes = known.filter(([, node], at) => at > 0 && node !== known[at - 1]![1]).length;
      assert.ok(changes >= 10, `node ${reader + 1}, row ${column + 1} changed hands ${changes} times`);
    }
  }
});
