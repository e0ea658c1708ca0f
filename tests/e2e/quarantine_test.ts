import assert from "node:assert/strict";
import { connect } from "@nats-io/transport-node";
import { type Cluster, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);";
const SUBJECT = "harmonylite-change-log-1";
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const QUARANTINED = "SELECT count(*) FROM __harmonylite___quarantine";

/** Stores messages in the stream as any client of the NATS server could. */
async function publishAll(cluster: Cluster, messages: readonly Uint8Array[]): Promise<void> {
  const connection = await connect({ servers: cluster.nats.url });
  try {
    for (const message of messages) await connection.request(SUBJECT, message); // JetStream acknowledges it.
  } finally {
    await connection.close();
  }
}

Deno.test("messages that are no changes are put aside on every node, and replication goes on", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO notes VALUES (1, 'before');");
  await cluster.converge();
  const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
  const messages = [
    new Uint8Array(),
    new TextEncoder().encode("hello"),
    new Uint8Array([...ZSTD_MAGIC, ...random(100)]),
    new Uint8Array([0xbf, 0xff]),
    // A map that promises 2^64 - 1 pairs, and an array nested without end.
    new Uint8Array([0xbb, 255, 255, 255, 255, 255, 255, 255, 255]),
    new Uint8Array(100_000).fill(0x9f),
    ...Array.from({ length: 20 }, (_, index) => new Uint8Array([0xff, ...random(1 + index * 50)])),
  ];
  await publishAll(cluster, messages);
  await first.sql("INSERT INTO notes VALUES (2, 'after');");
  await second.sql("UPDATE notes SET text = 'changed' WHERE id = 1;");
  await cluster.converge();
  for (const node of cluster.nodes) {
    assert.equal(node.count(QUARANTINED), messages.length);
    await node.process.waitForLog("Message put into quarantine");
    assert.deepEqual(node.read("SELECT text FROM notes ORDER BY id").flat(), ["changed", "after"]);
    const kept = node.read("SELECT data FROM __harmonylite___quarantine ORDER BY sequence");
    assert.deepEqual(kept.map(([data]) => data), messages, "the messages are kept as they came");
  }
});

Deno.test("a stream of garbage stops neither a node that starts nor one that was killed over it", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA, choose: (id) => ({ started: id === 1 }) });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("INSERT INTO notes VALUES (1, 'before');");
  await eventually("it is sent", () => first.pending() === 0);
  await publishAll(cluster, Array.from({ length: 300 }, (_, n) => new Uint8Array([0xff, n & 255])));
  await first.kill();
  await first.start();
  await second.start();
  await second.sql("INSERT INTO notes VALUES (2, 'after');");
  await cluster.converge();
  for (const node of cluster.nodes) assert.equal(node.count(QUARANTINED), 300);
});
