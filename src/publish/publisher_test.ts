import assert from "node:assert/strict";
import { CoreLab, LAB_NODE } from "../../tests/support/core_lab.ts";
import { StreamError } from "../lib/errors.ts";
import { Wakeup } from "../lib/wakeup.ts";
import { captureLogger } from "../observe/logger.ts";
import { MemoryBroker, type MemoryLog } from "../stream/memory_log.ts";
import type { StreamState } from "../stream/replication_log.ts";
import { Publisher } from "./publisher.ts";

const SETTINGS = { streamPrefix: "s", subjectPrefix: "s", shards: 1, maxEntries: 100, replicas: 1 };

async function openLog(): Promise<MemoryLog> {
  const log = new MemoryBroker().connect({ ...SETTINGS, compress: false, updateExisting: false });
  await log.ensureStreams();
  return log;
}

/** Sends all that is pending, and returns how many changes were counted as published. */
async function publishAll({ database, schema, rounds }: CoreLab, log: MemoryLog): Promise<number> {
  let count = 0;
  const publisher = new Publisher({
    database,
    schema,
    rounds,
    log,
    announce: () => Promise.resolve(),
    node: LAB_NODE,
    logger: captureLogger(),
    wakeup: new Wakeup(),
    pollingIntervalMs: 0,
    mayPublish: () => true,
    onPublished: ({ batch }) => count += batch.count,
    onLooked: () => {},
  });
  await publisher.run({ signal: AbortSignal.abort(), deadline: new AbortController().signal });
  return count;
}

Deno.test("a look at the streams that gets no answer does not hold up what the new leader would take", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  await using log = await openLog();
  const asked = Promise.withResolvers<StreamState[]>();
  log.ensureStreams = () => asked.promise;
  // Nobody leads the stream for two attempts.
  log.failNextPublish("lose-message", "lose-message");
  lab.run("INSERT INTO t VALUES (1)");
  assert.equal(await publishAll(lab, log), 1);
  assert.equal((await log.streams())[0]!.last, 1);
  asked.reject(new StreamError("TIMEOUT", "no answer", { transient: true }));
});

Deno.test("changes that are sent once more count once", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  await using log = await openLog();
  const publish = log.publish.bind(log);
  log.publish = async (shard, message) => {
    const ack = await publish(shard, message);
    const [{ name, created }] = await log.streams() as [StreamState];
    // Its reader has met the message, and with it the stream, before it could be marked.
    lab.run(`INSERT OR IGNORE INTO "__harmonylite___position" (stream, shard, created, sequence, time)
             VALUES ('${name}', 1, '${created}', 1, 0)`);
    return ack;
  };
  lab.run("INSERT INTO t VALUES (1), (2)");
  assert.equal(await publishAll(lab, log), 2);
  assert.equal((await log.streams())[0]!.last, 1);
});
