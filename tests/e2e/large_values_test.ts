import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const MB = 1_000_000;
/** What cannot be sent: more than MAX_CHANGE_BYTES. */
const TOO_LARGE_BYTES = 270 * MB;
const TIMEOUT_MS = 60_000;

/** Id, type, length and a hash of each value: two of them at once in memory would be a lot. */
function summary(node: ClusterNode): string[] {
  const ids = node.read("SELECT id, typeof(value) FROM large ORDER BY id");
  return ids.map(([id, type]) => {
    const [[bytes]] = node.read(`SELECT CAST(value AS BLOB) FROM large WHERE id = ${id}`) as [[Uint8Array]];
    return `${id} ${type} ${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}`;
  });
}

async function untilEqual(from: ClusterNode, to: ClusterNode): Promise<void> {
  const expected = summary(from);
  await eventually("the other node has the same", () => {
    assert.equal(to.count("SELECT count(*) FROM large"), expected.length);
    assert.equal(to.count("SELECT max(step) FROM large"), from.count("SELECT max(step) FROM large"));
    assert.deepEqual(summary(to), expected);
  }, { timeoutMs: TIMEOUT_MS, intervalMs: 250 });
}

Deno.test("blobs of 0 bytes, 1 byte and 50 MB and text of 10 MB go over whole, compressed and plain", async () => {
  await using cluster = await startCluster(2, {
    schema: "CREATE TABLE large (id INTEGER PRIMARY KEY, step INTEGER, value);",
    choose: (id) => ({ settings: { replication_log: { compress: id === 1 } } }),
  });
  const [packing, plain] = [cluster.node(1), cluster.node(2)];
  await packing.sql(
    `INSERT INTO large VALUES (1, 1, x''), (2, 1, x'00'), (3, 1, zeroblob(${50 * MB})),
       (4, 1, randomblob(${50 * MB})), (5, 1, hex(randomblob(${5 * MB}))), (6, 1, 'small');`,
  );
  await untilEqual(packing, plain);
  // Back again: an update of each, in one transaction.
  await plain.sql(
    `UPDATE large SET step = 2, value = CASE id WHEN 3 THEN randomblob(${
      50 * MB
    }) WHEN 4 THEN x'' ELSE value END;`,
  );
  await untilEqual(plain, packing);
  await packing.sql("DELETE FROM large WHERE id = 3; UPDATE large SET step = 3 WHERE id = 6;");
  await untilEqual(packing, plain);
  console.log(`    most memory of the nodes: ${cluster.nodes.map((node) => node.peakMegabytes())} MB`);
  for (const node of cluster.nodes) {
    assert.equal(node.count("SELECT count(*) FROM __harmonylite___quarantine"), 0);
  }
});

Deno.test("a row that is too large to be sent is said, and holds up nothing", async () => {
  await using cluster = await startCluster(2, {
    schema: "CREATE TABLE large (id INTEGER PRIMARY KEY, step INTEGER, value);",
  });
  const [origin, other] = [cluster.node(1), cluster.node(2)];
  await origin.sql(
    `BEGIN; INSERT INTO large VALUES (1, 1, 'before'), (2, 1, zeroblob(${TOO_LARGE_BYTES})), (3, 1, 'after'); COMMIT;`,
  );
  const said = await origin.process.waitForLog("Cannot send a change", { timeoutMs: TIMEOUT_MS });
  assert.match(said, /table "large", id=2: 270000\d{3} bytes exceed the limit of 268435456/);
  const ids = (node: ClusterNode): unknown[] =>
    node.read("SELECT id FROM large ORDER BY id").flat().map(Number);
  await eventually("what was written beside it arrives", () => assert.deepEqual(ids(other), [1, 3]), {
    timeoutMs: TIMEOUT_MS,
  });
  assert.match(String(origin.read("SELECT reason FROM __harmonylite___quarantine")[0]), /id=2: 270000/);
  await eventually("nothing is pending", () => assert.equal(origin.pending(), 0), { timeoutMs: TIMEOUT_MS });
  // Made smaller, it is sent; and it can be deleted, as a delete travels without values.
  await origin.sql("UPDATE large SET value = 'smaller' WHERE id = 2;");
  await eventually("the smaller one arrives", () => assert.deepEqual(ids(other), [1, 2, 3]), {
    timeoutMs: TIMEOUT_MS,
  });
  await origin.sql(`UPDATE large SET value = zeroblob(${TOO_LARGE_BYTES}) WHERE id = 2;`);
  await origin.sql("DELETE FROM large WHERE id = 2;");
  await eventually("the delete arrives", () => assert.deepEqual(ids(other), [1, 3]), {
    timeoutMs: TIMEOUT_MS,
  });
  console.log(`    most memory of the nodes: ${cluster.nodes.map((node) => node.peakMegabytes())} MB`);
  await cluster.converge();
});
