import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { ClusterNode, converge } from "../support/cluster.ts";
import { createDatabase } from "../support/database.ts";
import { embeddedNode } from "../support/embedded_cluster.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/nats_server.ts";
import { makeTempDir } from "../support/temp.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";

/** Each row in a message of its own. */
async function write(node: ClusterNode, first: number, last: number): Promise<void> {
  for (let id = first; id <= last; id++) await node.sql(`INSERT INTO notes VALUES (${id}, 'row ${id}');`);
  await eventually("all is sent", () => node.pending() === 0);
}

/**
 * Its NATS server's store comes back with it, and other nodes have read more of the stream than it holds. When they look again
 * it has grown beyond what they had read: its end tells nothing.
 */
Deno.test("an older copy of a node's whole folder put back, streams included: nothing is lost on any node", async () => {
  await using temp = await makeTempDir();
  const port = freePort();
  await Deno.mkdir(temp.file("hub"));
  const inHub = { path: temp.file("hub"), file: (name: string) => temp.file(`hub/${name}`) };
  await using hub = await embeddedNode(inHub, 1, SCHEMA, {
    nats: { bind_address: `127.0.0.1:${port}` },
    log: { shards: 1 },
  });
  await using other = new ClusterNode({
    dir: temp.path,
    nodeId: 2,
    dbPath: temp.file("other.db"),
    natsUrl: `nats://127.0.0.1:${port}`,
    settings: { replication_log: { max_entries: 100_000, shards: 1 } },
  });
  await createDatabase(other.dbPath, SCHEMA);
  await hub.start();
  await other.start();
  await write(hub, 1, 3);
  await converge([hub, other]);
  assert.equal(await hub.stop(), 0);
  await cp(temp.file("hub"), temp.file("copy"), { recursive: true });

  await hub.start();
  await write(hub, 4, 6);
  await write(other, 101, 102);
  await converge([hub, other]);
  assert.equal(await other.stop(), 0);
  assert.equal(await hub.stop(), 0);
  await Deno.remove(temp.file("hub"), { recursive: true });
  await Deno.rename(temp.file("copy"), temp.file("hub"));

  await hub.start();
  await write(hub, 11, 30);
  assert.equal(hub.count("SELECT count(*) FROM notes"), 23, "what came after the copy is gone here");
  await other.start();
  await other.process.waitForLog("Stream was recreated, starting over");
  await converge([hub, other]);
  assert.equal(hub.count("SELECT count(*) FROM notes"), 28);
});
