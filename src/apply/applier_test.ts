import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import { captureLogger } from "../observe/logger.ts";
import { MemoryBroker } from "../stream/memory_log.ts";
import { ClusterSchemas } from "../schema/cluster_schemas.ts";
import { Applier } from "./applier.ts";

const STREAMS = {
  streamPrefix: "s",
  subjectPrefix: "s",
  maxEntries: 100,
  replicas: 1,
  compress: false,
  updateExisting: false,
};

Deno.test("a shard that cannot be applied ends the applier, although the others are well", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a);
     CREATE TRIGGER strange AFTER INSERT ON t BEGIN SELECT unknown_function(NEW.a); END`,
  );
  await using log = new MemoryBroker().connect({ ...STREAMS, shards: 2 });
  await log.ensureStreams();
  const { data } = lab.messageOf([{ table: "t", type: "insert", row: { a: 1n, id: 1n }, ts: LAB_TIME_NS }]);
  await log.publish(2, { id: "1", headers: new Map(), data });
  const applier = new Applier({
    database: lab.database,
    log,
    messages: lab.messages,
    registry: { read: () => Promise.resolve(new ClusterSchemas("1", [], undefined)) },
    logger: captureLogger(),
    onApplied: () => {},
  });
  const signal = AbortSignal.timeout(10_000);
  await assert.rejects(applier.run({ signal }), /unknown_function/);
  assert.equal(signal.aborted, false);
});
