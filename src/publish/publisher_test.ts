import assert from "node:assert/strict";
import { CoreLab, LAB_NODE } from "../../tests/support/core_lab.ts";
import { StreamError } from "../lib/errors.ts";
import { Wakeup } from "../lib/wakeup.ts";
import { captureLogger } from "../observe/logger.ts";
import { MemoryBroker } from "../stream/memory_log.ts";
import type { StreamState } from "../stream/replication_log.ts";
import { Publisher } from "./publisher.ts";

const SETTINGS = { streamPrefix: "s", subjectPrefix: "s", shards: 1, maxEntries: 100, replicas: 1 };

Deno.test("a look at the streams that gets no answer does not hold up what the new leader would take", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  const { database, schema, rounds } = lab;
  await using log = new MemoryBroker().connect({ ...SETTINGS, compress: false, updateExisting: false });
  await log.ensureStreams();
  const asked = Promise.withResolvers<StreamState[]>();
  log.ensureStreams = () => asked.promise;
  // Nobody leads the stream for two attempts.
  log.failNextPublish("lose-message", "lose-message");
  lab.run("INSERT INTO t VALUES (1)");
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
    onPublished: () => {},
    onLooked: () => {},
  });
  await publisher.run({ signal: AbortSignal.abort(), deadline: new AbortController().signal });
  assert.equal((await log.streams())[0]!.last, 1);
  asked.reject(new StreamError("TIMEOUT", "no answer", { transient: true }));
});
