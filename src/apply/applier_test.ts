import assert from "node:assert/strict";
import { eventually } from "../../tests/support/eventually.ts";
import { CoreLab, LAB_NODE, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import { StreamError } from "../lib/errors.ts";
import { captureLogger } from "../observe/logger.ts";
import { ClusterSchemas } from "../schema/cluster_schemas.ts";
import { MemoryBroker } from "../stream/memory_log.ts";
import type { StreamState } from "../stream/replication_log.ts";
import { Applier, type ApplierOptions } from "./applier.ts";
import { storePosition } from "./position.ts";

const STREAMS = {
  streamPrefix: "s",
  subjectPrefix: "s",
  maxEntries: 100,
  replicas: 1,
  compress: false,
  updateExisting: false,
};

Deno.test("a shard that cannot be applied ends the applier, although the others are well", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  await using log = new MemoryBroker().connect({ ...STREAMS, shards: 2 });
  await log.ensureStreams();
  const { data } = lab.messageOf([{ table: "t", type: "insert", row: { a: 1n, id: 1n }, ts: LAB_TIME_NS }]);
  await log.publish(2, { id: "1", headers: new Map(), data });
  const applier = new Applier({
    database: lab.database,
    schema: lab.schema,
    log,
    messages: lab.messages,
    registry: { read: () => Promise.reject(new Error("not to be asked")) },
    logger: captureLogger(),
    closeGaps: () => Promise.resolve(false),
    node: LAB_NODE,
    shards: 1,
    onApplied: () => {
      throw new Error("no room is left");
    },
  });
  const signal = AbortSignal.timeout(10_000);
  await assert.rejects(applier.run({ signal }), /no room is left/);
  assert.equal(signal.aborted, false);
});

Deno.test("what is unknown waits while the registry cannot be reached, and is judged when it can", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  await using log = new MemoryBroker().connect({ ...STREAMS, shards: 1 });
  await log.ensureStreams();
  const { data } = lab.messageOf([{ table: "nowhere", type: "insert", row: { id: 1n }, ts: LAB_TIME_NS }]);
  await log.publish(1, { id: "1", headers: new Map(), data });
  const logger = captureLogger();
  let asked = 0;
  let isThere = false;
  const read = (): Promise<ClusterSchemas> => {
    asked++;
    if (isThere) return Promise.resolve(new ClusterSchemas("1", [], undefined));
    return Promise.reject(new StreamError("NOT_CONNECTED", "connection lost", { transient: true }));
  };
  const applier = new Applier({
    database: lab.database,
    schema: lab.schema,
    log,
    messages: lab.messages,
    registry: { read },
    logger,
    closeGaps: () => Promise.resolve(false),
    node: LAB_NODE,
    shards: 1,
    onApplied: () => {},
  });
  const stop = new AbortController();
  const running = applier.run({ signal: stop.signal }).catch(() => {});
  await applier.caughtUp;
  await eventually("it is asked again and again", () => asked > 2);
  assert.deepEqual([...applier.conditions.values()], ["schema_mismatch_paused"]);
  assert.deepEqual(lab.quarantined, []);
  assert.match(JSON.stringify(logger.lines), /schema_mismatch_paused.*connection lost/);
  isThere = true;
  await eventually("it is put aside", () => lab.quarantined.length === 1);
  assert.match(lab.quarantined[0]!, /no node of the cluster ever had it/);
  stop.abort();
  await running;
});

/** A node that never read a stream of two messages, which holds none of them any more. */
async function meetGap(
  lab: CoreLab,
  close: (attempt: number) => Promise<boolean>,
): Promise<{ applier: Applier; logged: () => string }> {
  const broker = new MemoryBroker();
  const log = broker.connect({ ...STREAMS, shards: 1 });
  await log.ensureStreams();
  for (const id of ["1", "2"]) await log.publish(1, { id, headers: new Map(), data: new Uint8Array(1) });
  const { name: stream, created } = broker.list()[0]!;
  broker.truncate(stream, 3);
  const logger = captureLogger();
  let attempts = 0;
  const closeGaps: ApplierOptions["closeGaps"] = async () => {
    if (!await close(++attempts)) return false;
    await lab.database.write(() =>
      storePosition(lab.database, { stream, shard: 1, created, sequence: 2, time: 0n })
    );
    return true;
  };
  const applier = new Applier({
    database: lab.database,
    schema: lab.schema,
    log,
    messages: lab.messages,
    registry: { read: () => Promise.reject(new Error("not to be asked")) },
    node: LAB_NODE,
    shards: 1,
    logger,
    closeGaps,
    onApplied: () => {},
  });
  return { applier, logged: () => JSON.stringify(logger.lines) };
}

Deno.test("a node that a snapshot brings to the end of its streams has caught up, and publishes", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  const { applier } = await meetGap(lab, () => Promise.resolve(true));
  const stop = new AbortController();
  const running = applier.run({ signal: stop.signal });
  await applier.caughtUp;
  assert.ok(applier.mayPublish);
  stop.abort();
  await running;
});

Deno.test("a gap that is met while NATS cannot be reached does not end the applier", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  const lost = new StreamError("NOT_CONNECTED", "connection lost", { transient: true });
  const { applier, logged } = await meetGap(
    lab,
    (attempt) => attempt < 3 ? Promise.reject(lost) : Promise.resolve(true),
  );
  const stop = new AbortController();
  const running = applier.run({ signal: stop.signal });
  await applier.caughtUp;
  assert.match(logged(), /Unable to read.*connection lost/);
  stop.abort();
  await running;
});

Deno.test("a node whose stream is created anew before it has read it to its end publishes all the same", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  const broker = new MemoryBroker();
  await using log = broker.connect({ ...STREAMS, shards: 1 });
  const [{ name }] = await log.ensureStreams() as [StreamState];
  for (const id of [1n, 2n, 3n]) {
    const { data } = lab.messageOf([{
      table: "t",
      type: "insert",
      row: { a: 1n, id },
      ts: LAB_TIME_NS + id,
    }]);
    await log.publish(1, { id: String(id), headers: new Map(), data });
  }
  let hasRead = false;
  const applier = new Applier({
    database: lab.database,
    schema: lab.schema,
    log,
    messages: lab.messages,
    registry: { read: () => Promise.reject(new Error("not to be asked")) },
    node: LAB_NODE,
    shards: 1,
    logger: captureLogger(),
    closeGaps: () => Promise.resolve(false),
    onApplied: () => {
      if (!hasRead) broker.recreate(name);
      hasRead = true;
    },
  });
  const stop = new AbortController();
  const running = applier.run({ signal: AbortSignal.any([stop.signal, AbortSignal.timeout(60_000)]) });
  let isCaughtUp = false;
  await Promise.race([applier.caughtUp.then(() => isCaughtUp = true), running]);
  assert.ok(isCaughtUp);
  assert.deepEqual(lab.captured("t", "id"), ["update|1"], "what was read is sent again");
  stop.abort();
  await running;
});
