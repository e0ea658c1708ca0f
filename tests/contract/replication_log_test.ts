import assert from "node:assert/strict";
import { StreamError } from "../../src/lib/errors.ts";
import type { LogMessage } from "../../src/stream/replication_log.ts";
import { sleep } from "../../src/lib/sleep.ts";
import { eventually } from "../support/eventually.ts";
import {
  eachMessage,
  JetStreamLab,
  type Lab,
  makeMessage,
  publishMany,
  readSome,
  startMemoryLab,
  textOf,
} from "./replication_log_lab.ts";

const STREAM = "changes-1";

const ADAPTERS: Record<string, () => Promise<Lab>> = {
  "MemoryLog": startMemoryLab,
  "JetStreamLog": () => JetStreamLab.start(),
};

/** Expects a StreamError with this code that does or does not heal. */
function isStreamError(code: string, transient: boolean): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof StreamError, `not a StreamError: ${error}`);
    assert.deepEqual({ code: error.code, transient: error.transient }, { code, transient });
    return true;
  };
}

for (const [adapter, start] of Object.entries(ADAPTERS)) {
  const test = (name: string, run: (lab: Lab) => Promise<void>): void =>
    Deno.test(`replication log (${adapter}): ${name}`, async () => {
      await using lab = await start();
      await run(lab);
    });

  test("creates the missing streams once, in order of shard", async (lab) => {
    await using log = await lab.open({ shards: 3 });
    const first = await log.ensureStreams();
    assert.deepEqual(first.map(({ name, shard, first, last }) => ({ name, shard, first, last })), [
      { name: "changes-1", shard: 1, first: 1, last: 0 },
      { name: "changes-2", shard: 2, first: 1, last: 0 },
      { name: "changes-3", shard: 3, first: 1, last: 0 },
    ]);
    assert.deepEqual(await log.ensureStreams(), first);
    assert.deepEqual(await log.streams(), first);
  });

  test("creates each stream once when nodes start together, compressed or not", async (lab) => {
    const logs = await Promise.all([0, 1, 2, 3].map((i) => lab.open({ shards: 4, compress: i % 2 === 0 })));
    await Promise.all(logs.map((log) => log.ensureStreams()));
    const [expected, ...others] = await Promise.all(logs.map((log) => log.streams()));
    assert.deepEqual(expected?.map(({ shard }) => shard), [1, 2, 3, 4]);
    for (const states of others) assert.deepEqual(states, expected);
    assert.equal((await lab.streamNames()).length, 4);
    for (const log of logs) await log[Symbol.asyncDispose]();
  });

  test("finds a stream by its subject, whatever it is called", async (lab) => {
    await lab.createStream("somebody-elses-name", "change-log-2");
    await lab.createStream("not-a-shard", "change-log-x");
    await lab.createStream("not-a-shard-either", "change-log-02");
    await using log = await lab.open({ shards: 2 });
    const states = await log.ensureStreams();
    assert.deepEqual(states.map(({ name, shard }) => [shard, name]), [[1, STREAM], [
      2,
      "somebody-elses-name",
    ]]);
    assert.equal((await log.publish(2, makeMessage("a"))).stream, "somebody-elses-name");
  });

  test("sees the streams beyond its own number of shards", async (lab) => {
    await using wide = await lab.open({ shards: 11 });
    await wide.ensureStreams();
    await using narrow = await lab.open({ shards: 1 });
    assert.deepEqual((await narrow.ensureStreams()).map(({ shard }) => shard), [
      1,
      2,
      3,
      4,
      5,
      6,
      7,
      8,
      9,
      10,
      11,
    ]);
  });

  test("keeps clusters with different prefixes apart", async (lab) => {
    await using one = await lab.open();
    await using other = await lab.open({
      streamPrefix: "changes-b",
      subjectPrefix: "change-log-b",
      shards: 2,
    });
    await one.ensureStreams();
    await other.ensureStreams();
    assert.deepEqual((await one.streams()).map(({ name }) => name), [STREAM]);
    assert.deepEqual((await other.streams()).map(({ name }) => name), ["changes-b-1", "changes-b-2"]);
  });

  test("refuses a name that a stream with another subject has", async (lab) => {
    await lab.createStream(STREAM, "something.else");
    await using log = await lab.open();
    await assert.rejects(log.ensureStreams(), (error) => {
      isStreamError("JETSTREAM_REFUSED", false)(error);
      assert.match((error as Error).message, /^Failed to create stream "changes-1": .*in use/);
      return true;
    });
  });

  test("tells once how a stream differs from the configuration, and leaves it", async (lab) => {
    await using log = await lab.open({ maxEntries: 500 });
    await log.ensureStreams();
    const told: string[] = [];
    await using other = await lab.open({ maxEntries: 900 }, (text) => told.push(text));
    await other.ensureStreams();
    await other.ensureStreams();
    assert.equal(told.length, 1);
    assert.match(told[0] ?? "", /"changes-1" has max_entries = 500, the configuration says 900/);
  });

  test("changes the streams when it may", async (lab) => {
    await using log = await lab.open({ maxEntries: 500 });
    await log.ensureStreams();
    await publishMany(log, 1, 1, 20);
    const told: string[] = [];
    await using other = await lab.open(
      { maxEntries: 5, updateExisting: true },
      (text) => told.push(text),
    );
    assert.deepEqual((await other.ensureStreams()).map(({ first, last }) => [first, last]), [[16, 20]]);
    assert.deepEqual(told, []);
  });

  test("stores pipelined messages in the order of the calls", async (lab) => {
    await using log = await lab.open({ shards: 2 });
    await log.ensureStreams();
    const acknowledgements = [];
    for (let i = 1; i <= 6_000; i++) acknowledgements.push(log.publish(1 + i % 2, makeMessage(`m${i}`)));
    const sequences = (await Promise.all(acknowledgements)).map(({ sequence }) => sequence);
    assert.deepEqual(sequences, Array.from({ length: 6_000 }, (_, i) => Math.floor(i / 2) + 1));
    const texts = (await readSome(log, "changes-2", 1, 3_000)).map(textOf);
    assert.deepEqual(texts, Array.from({ length: 3_000 }, (_, i) => `m${2 * i + 1}`));
  });

  test("stores the same id once and acknowledges it with the first sequence", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    const first = await log.publish(1, makeMessage("same", "one"));
    await log.publish(1, makeMessage("other", "two"));
    const again = await log.publish(1, makeMessage("same", "three"));
    assert.deepEqual(first, { stream: STREAM, sequence: 1, duplicate: false });
    assert.deepEqual(again, { stream: STREAM, sequence: 1, duplicate: true });
    assert.deepEqual((await readSome(log, STREAM, 1, 2)).map(textOf), ["one", "two"]);
  });

  test("hands on data, headers and time unchanged, to every reader alike", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    const data = Uint8Array.from({ length: 256 }, (_, i) => i);
    const before = BigInt(Date.now()) * 1_000_000n;
    await log.publish(1, { id: "a", headers: new Map([["batch", "24-x.y z"], ["part", "1/2"]]), data });
    await log.publish(1, { id: "b", headers: new Map(), data: new Uint8Array() });
    const after = BigInt(Date.now() + 1) * 1_000_000n;
    await using other = await lab.open();
    const [messages, again] = [await readSome(log, STREAM, 1, 2), await readSome(other, STREAM, 1, 2)];
    assert.deepEqual(messages, again);
    assert.deepEqual([...messages[0]?.headers ?? []].sort(), [["batch", "24-x.y z"], ["part", "1/2"]]);
    assert.deepEqual(messages[0]?.data, data);
    assert.deepEqual([...messages[1]?.headers ?? []], []);
    assert.deepEqual(messages[1]?.data, new Uint8Array());
    assert.deepEqual(messages.map(({ stream, sequence }) => [stream, sequence]), [[STREAM, 1], [STREAM, 2]]);
    for (const { timeNs } of messages) assert.ok(before <= timeNs && timeNs <= after, `${timeNs}`);
  });

  test("reads from the middle", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    await publishMany(log, 1, 1, 10);
    assert.deepEqual((await readSome(log, STREAM, 7, 4)).map(textOf), ["m7", "m8", "m9", "m10"]);
  });

  test("waits at the end for more", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    await publishMany(log, 1, 1, 3);
    const reading = readSome(log, STREAM, 4, 2);
    await publishMany(log, 1, 4, 4);
    await publishMany(log, 1, 5, 5);
    assert.deepEqual((await reading).map(textOf), ["m4", "m5"]);
  });

  test("ends the iteration when the signal is aborted, waiting or not", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    await publishMany(log, 1, 1, 100);
    const waiting = new AbortController();
    const seen: LogMessage[] = [];
    const reading = (async (): Promise<void> => {
      for await (const message of eachMessage(log.read(STREAM, 51, waiting.signal))) seen.push(message);
    })();
    await eventually("the end is reached", () => seen.length === 50);
    waiting.abort();
    await reading;
    const busy = new AbortController();
    let groups = 0;
    for await (const _ of log.read(STREAM, 1, busy.signal)) if (++groups === 1) busy.abort();
    assert.equal(groups, 1);
    for await (const _ of eachMessage(log.read(STREAM, 1, AbortSignal.abort()))) {
      assert.fail("aborted before it began");
    }
  });

  test("goes on reading when another reader of it ends", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    const reading = readSome(log, STREAM, 1, 2);
    await publishMany(log, 1, 1, 1);
    await readSome(log, STREAM, 1, 1);
    await publishMany(log, 1, 2, 2);
    assert.equal((await reading).length, 2);
  });

  test("discards the oldest messages beyond max_entries", async (lab) => {
    await using log = await lab.open({ maxEntries: 10 });
    await log.ensureStreams();
    await publishMany(log, 1, 1, 25);
    assert.deepEqual((await log.streams()).map(({ first, last }) => [first, last]), [[16, 25]]);
    assert.deepEqual((await readSome(log, STREAM, 16, 1)).map(textOf), ["m16"]);
    await assert.rejects(readSome(log, STREAM, 15, 1), isStreamError("POSITION_TRUNCATED", false));
  });

  test("knows the end of a stream that was emptied", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    await publishMany(log, 1, 1, 9);
    await lab.truncate(STREAM, 10);
    assert.deepEqual((await log.streams()).map(({ first, last }) => [first, last]), [[10, 9]]);
    const reading = readSome(log, STREAM, 10, 1);
    await publishMany(log, 1, 10, 10);
    assert.deepEqual((await reading).map(textOf), ["m10"]);
  });

  test("rejects when messages are discarded before a reader got to them", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    await publishMany(log, 1, 1, 20_000);
    const seen: number[] = [];
    const reading = (async (): Promise<void> => {
      for await (const { sequence } of eachMessage(log.read(STREAM, 1, AbortSignal.timeout(30_000)))) {
        seen.push(sequence);
        if (sequence === 1) await lab.truncate(STREAM, 19_000);
      }
    })();
    await assert.rejects(reading, isStreamError("POSITION_TRUNCATED", false));
    assert.deepEqual(seen, Array.from({ length: seen.length }, (_, i) => i + 1));
    assert.ok(seen.length < 19_000);
  });

  test("rejects when a stream is created anew while it is read", async (lab) => {
    await using log = await lab.open();
    const [before] = await log.ensureStreams();
    await publishMany(log, 1, 1, 3);
    const reading = readSome(log, STREAM, 1, 9);
    await readSome(log, STREAM, 1, 3);
    await lab.deleteStream(STREAM);
    const [after] = await log.ensureStreams();
    await publishMany(log, 1, 1, 9);
    await assert.rejects(reading, isStreamError("STREAM_RECREATED", false));
    assert.notEqual(after?.created, before?.created);
    assert.equal(after?.last, 0);
  });

  test("does not read a stream that has taken the place of the one that is meant", async (lab) => {
    await using log = await lab.open();
    const [before] = await log.ensureStreams();
    await lab.deleteStream(STREAM);
    const [now] = await log.ensureStreams();
    await publishMany(log, 1, 1, 3);
    const signal = AbortSignal.timeout(30_000);
    const first = async (created: string): Promise<number | undefined> => {
      const known = { created, timeNs: 0n };
      for await (const messages of log.read(STREAM, 1, signal, known)) return messages[0]!.sequence;
      return undefined;
    };
    await assert.rejects(first(before!.created), isStreamError("STREAM_RECREATED", false));
    assert.equal(await first(now!.created), 1);
  });

  test("does not go on in an older copy of a stream that was put back and has grown since", async (lab) => {
    await using log = await lab.open();
    const [{ created } = { created: "" }] = await log.ensureStreams();
    await publishMany(log, 1, 1, 3);
    const putBack = await lab.keepCopy();
    await eventually("the server is there again", () => log.streams());
    await publishMany(log, 1, 4, 6);
    const timeNs = (await readSome(log, STREAM, 1, 6)).at(-1)!.timeNs;
    const goOn = async (): Promise<number | undefined> => {
      const signal = AbortSignal.timeout(30_000);
      for await (const messages of log.read(STREAM, 6, signal, { created, timeNs })) {
        return messages[0]!.sequence;
      }
      return undefined;
    };
    assert.equal(await goOn(), 6, "it is the same so far");
    await putBack();
    await eventually("the server is there again", () => log.streams());
    await sleep(2); // The clock of MemoryLog has milliseconds.
    await publishMany(log, 1, 14, 20);
    await assert.rejects(goOn(), isStreamError("STREAM_ROLLED_BACK", false));
  });

  test("rejects when a stream is deleted while it is read", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    await publishMany(log, 1, 1, 1);
    const reading = readSome(log, STREAM, 1, 2);
    await readSome(log, STREAM, 1, 1);
    await lab.deleteStream(STREAM);
    await assert.rejects(reading, isStreamError("STREAM_RECREATED", false));
  });

  test("rejects a position behind the end of the stream", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    await publishMany(log, 1, 1, 3);
    await assert.rejects(readSome(log, STREAM, 5, 1), isStreamError("STREAM_RECREATED", false));
  });

  test("rejects a message larger than it stores, for good, and stores the next", async (lab) => {
    await using log = await lab.open();
    await log.ensureStreams();
    const tooLarge = { id: "large", headers: new Map(), data: new Uint8Array(log.maxPayload) };
    await assert.rejects(log.publish(1, tooLarge), isStreamError("MESSAGE_TOO_LARGE", false));
    const headers = new Map([["batch", "b"]]);
    await log.publish(1, { id: "fits", headers, data: new Uint8Array(log.maxPayload - 256) });
    assert.equal((await readSome(log, STREAM, 1, 1))[0]?.data.length, log.maxPayload - 256);
  });

  test("says transiently that there is no stream for a shard", async (lab) => {
    await using log = await lab.open();
    await assert.rejects(log.publish(1, makeMessage("a")), (error) => {
      isStreamError("NO_RESPONDERS", true)(error);
      assert.match((error as Error).message, /No responders available/);
      return true;
    });
  });

  test("ends its readers and rejects everything else after it was closed", async (lab) => {
    const log = await lab.open();
    await log.ensureStreams();
    const signal = AbortSignal.timeout(30_000);
    const reading = (async (): Promise<void> => {
      for await (const _ of eachMessage(log.read(STREAM, 1, signal))) assert.fail("nothing was published");
    })();
    await log.streams();
    await log[Symbol.asyncDispose]();
    await log[Symbol.asyncDispose]();
    await reading;
    await assert.rejects(log.publish(1, makeMessage("a")), isStreamError("CONNECTION_CLOSED", false));
    await assert.rejects(log.streams(), isStreamError("CONNECTION_CLOSED", false));
  });
}
