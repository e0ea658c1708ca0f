import assert from "node:assert/strict";
import { CoreLab, LAB_NODE } from "../../tests/support/core_lab.ts";
import { settleFolded } from "../apply/own_changes.ts";
import { StreamError } from "../lib/errors.ts";
import { Wakeup } from "../lib/wakeup.ts";
import { captureLogger } from "../observe/logger.ts";
import { MemoryBroker, type MemoryLog } from "../stream/memory_log.ts";
import type { StreamState } from "../stream/replication_log.ts";
import { Publisher } from "./publisher.ts";

const STATES = 'SELECT state, sequence FROM "__harmonylite__t_change_log"';

const SETTINGS = { streamPrefix: "s", subjectPrefix: "s", shards: 1, maxEntries: 100, replicas: 1 };

async function openLog(): Promise<MemoryLog> {
  const log = new MemoryBroker().connect({ ...SETTINGS, compress: false, updateExisting: false });
  await log.ensureStreams();
  return log;
}

/** Sends all that is pending, and returns how many changes were counted as published. */
async function publishAll(lab: CoreLab, log: MemoryLog, onSettle = (): void => {}): Promise<number> {
  const { database, schema, rounds } = lab;
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
    settle: async ({ ids, logs }, signal) => {
      onSettle();
      return await settleFolded({ database, schema, node: LAB_NODE, ids, logs, signal });
    },
    onPublished: (changes) => count += changes,
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

Deno.test("changes that have come back before they could be marked count once", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  await using log = await openLog();
  const publish = log.publish.bind(log);
  log.publish = async (shard, message) => {
    const ack = await publish(shard, message);
    if (!ack.duplicate) await lab.apply(lab.message(message.data));
    return ack;
  };
  lab.run("INSERT INTO t VALUES (1), (2)");
  assert.equal(await publishAll(lab, log), 2);
  assert.equal((await log.streams())[0]!.last, 1);
  assert.deepEqual(lab.lines(STATES), ["1|0", "1|0"]);
});

Deno.test("what lies below what was read is not marked unless it has come back: an older copy of the stream was put back", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  await using log = await openLog();
  const setPosition = (sequence: number): void =>
    lab.run(`INSERT OR REPLACE INTO "__harmonylite___position" (stream, shard, created, sequence, time)
             VALUES ('s-1', 1, 'then', ${sequence}, 0)`);
  setPosition(5);
  lab.run("INSERT INTO t VALUES (1)");
  const states: string[][] = [];
  const count = await publishAll(lab, log, () => {
    states.push(lab.lines(STATES));
    // By the third time its reader has noticed.
    if (states.length === 3) setPosition(0);
  });
  assert.deepEqual([states, count], [[["0|NULL"], ["0|NULL"], ["0|NULL"]], 1]);
  assert.deepEqual(lab.lines(STATES), ["1|1"]);
});
