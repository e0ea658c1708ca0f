import assert from "node:assert/strict";
import { StreamError } from "../lib/errors.ts";
import { MemoryBroker, type MemoryLog } from "./memory_log.ts";
import type { OutgoingMessage, StreamSettings } from "./replication_log.ts";

const SETTINGS: StreamSettings = {
  streamPrefix: "changes",
  subjectPrefix: "log",
  shards: 1,
  maxEntries: 100,
  replicas: 1,
  compress: false,
  updateExisting: false,
};

function message(id: string): OutgoingMessage {
  return { id, headers: new Map(), data: new TextEncoder().encode(id) };
}

async function assertLost(publishing: Promise<unknown>): Promise<void> {
  await assert.rejects(publishing, (error) => error instanceof StreamError && error.transient);
}

async function contents(broker: MemoryBroker, log: MemoryLog): Promise<string[]> {
  const [state] = await log.streams();
  const stored = broker.find(state?.name ?? "")?.messages.values() ?? [];
  return [...stored].map(({ data }) => new TextDecoder().decode(data));
}

Deno.test("a fault loses the message, its acknowledgement, or time", async () => {
  const broker = new MemoryBroker();
  const log = broker.connect(SETTINGS);
  await log.ensureStreams();
  log.failNextPublish("lose-message", "lose-acknowledgement", "delay-message");
  for (const id of ["a", "b", "c"]) await assertLost(log.publish(1, message(id)));
  assert.deepEqual(await contents(broker, log), ["b"]);
  assert.deepEqual(await log.publish(1, message("b")), { stream: "changes-1", sequence: 1, duplicate: true });
  assert.equal((await log.publish(1, message("a"))).sequence, 2);
  broker.deliverLate();
  assert.deepEqual(await contents(broker, log), ["b", "a", "c"]);
});

Deno.test("an id is forgotten when the duplicate window has passed", async () => {
  let nowNs = 1_000n;
  const broker = new MemoryBroker({ now: () => nowNs, duplicateWindowMs: 10 });
  const log = broker.connect(SETTINGS);
  await log.ensureStreams();
  await log.publish(1, message("a"));
  nowNs += 9_999_999n;
  assert.equal((await log.publish(1, message("a"))).duplicate, true);
  nowNs += 1n;
  assert.deepEqual(await log.publish(1, message("a")), {
    stream: "changes-1",
    sequence: 2,
    duplicate: false,
  });
});

Deno.test("a node that is cut off gets nothing until it is back", async () => {
  const broker = new MemoryBroker();
  const [here, there] = [broker.connect(SETTINGS), broker.connect(SETTINGS)];
  await here.ensureStreams();
  there.setConnected(false);
  await assertLost(there.publish(1, message("x")));
  await assertLost(there.streams());
  const reading = there.read("changes-1", 1, AbortSignal.timeout(10_000))[Symbol.asyncIterator]().next();
  await here.publish(1, message("a"));
  const first = await Promise.race([reading, Promise.resolve("nothing")]);
  assert.equal(first, "nothing");
  there.setConnected(true);
  assert.equal((await reading).value?.[0]?.sequence, 1);
});

Deno.test("a stream that is recreated has another creation time, even when no time has passed", async () => {
  const broker = new MemoryBroker({ now: () => 5n });
  const log = broker.connect(SETTINGS);
  const [before] = await log.ensureStreams();
  broker.recreate("changes-1");
  const [after] = await log.streams();
  assert.equal(before?.created, "1970-01-01T00:00:00.000000005Z");
  assert.equal(after?.created, "1970-01-01T00:00:00.000000006Z");
});
