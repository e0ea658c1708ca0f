import assert from "node:assert/strict";
import { DirectMsgHeaders, jetstreamManager } from "@nats-io/jetstream";
import { createInbox, type NatsConnection } from "@nats-io/transport-node";
import { StreamError } from "../../src/lib/errors.ts";
import { sleep } from "../../src/lib/sleep.ts";
import { JetStreamLog } from "../../src/stream/jetstream_log.ts";
import type { LogMessage, ReplicationLog } from "../../src/stream/replication_log.ts";
import { sizeOf } from "../../src/stream/delivery.ts";
import { pullSubject } from "../../src/stream/jetstream_api.ts";
import { PULL_BYTES } from "../../src/stream/pull_session.ts";
import { connectToNats } from "../../src/nats/connection.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, natsServerBinary } from "../support/nats_server.ts";
import { startProcess } from "../support/process.ts";
import {
  eachMessage,
  JetStreamLab,
  makeMessage,
  publishMany,
  readSome,
  SETTINGS,
  textOf,
} from "./replication_log_lab.ts";

const STREAM = "changes-1";
/** `hl_` and a nuid. */
const READER_NAME_CHARS = 25;

/** What the predecessor of this program, whose streams it shares, was seen to create. */
const RECORDED_CONFIG = {
  name: "harmonylite-changes-1",
  subjects: ["harmonylite-change-log-1"],
  retention: "limits",
  max_consumers: -1,
  max_msgs: 1000000,
  max_bytes: -1,
  max_age: 0,
  max_msgs_per_subject: -1,
  max_msg_size: -1,
  discard: "old",
  storage: "file",
  num_replicas: 1,
  duplicate_window: 120000000000,
  compression: "none",
  allow_direct: true,
  mirror_direct: false,
  sealed: false,
  deny_delete: true,
  deny_purge: false,
  allow_rollup_hdrs: false,
  consumer_limits: {},
};

/** Settings that servers before 2.10 do not have. */
const NEWER_SETTINGS = new Set(["compression", "consumer_limits"]);

const RECORDED_SETTINGS = {
  streamPrefix: "harmonylite-changes",
  subjectPrefix: "harmonylite-change-log",
  maxEntries: 1_000_000,
};

async function streamConfig(connection: NatsConnection, name: string): Promise<Record<string, unknown>> {
  const info = await (await jetstreamManager(connection)).streams.info(name);
  return info.config as unknown as Record<string, unknown>;
}

function assertRecorded(config: Record<string, unknown>, expected: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(expected)) {
    if (key in config || !NEWER_SETTINGS.has(key)) assert.deepEqual(config[key], value, key);
  }
}

async function consumerCount(connection: NatsConnection, stream: string): Promise<number> {
  return (await (await jetstreamManager(connection)).streams.info(stream)).state.consumer_count;
}

async function deleteConsumers(connection: NatsConnection, stream: string): Promise<void> {
  const manager = await jetstreamManager(connection);
  for (const { name } of await manager.consumers.list(stream).next()) {
    await manager.consumers.delete(stream, name);
  }
}

/** As the publisher does it: until it is acknowledged, under the same id. */
async function publishPatiently(log: ReplicationLog, id: string, failures: StreamError[]): Promise<void> {
  for (;;) {
    try {
      await log.publish(1, makeMessage(id));
      return;
    } catch (error) {
      assert.ok(error instanceof StreamError && error.transient, String(error));
      failures.push(error);
      await sleep(20);
    }
  }
}

Deno.test("a stream is created with the recorded settings", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open(RECORDED_SETTINGS);
  await log.ensureStreams();
  assertRecorded(await streamConfig(lab.admin, "harmonylite-changes-1"), RECORDED_CONFIG);
});

Deno.test("a stream for compressed messages differs by name only, and is found without compression", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open({ ...RECORDED_SETTINGS, compress: true });
  await log.ensureStreams();
  const expected = { ...RECORDED_CONFIG, name: "harmonylite-changes-c-1" };
  assertRecorded(await streamConfig(lab.admin, "harmonylite-changes-c-1"), expected);
  await using plain = await lab.open(RECORDED_SETTINGS);
  assert.deepEqual((await plain.ensureStreams()).map(({ name }) => name), ["harmonylite-changes-c-1"]);
});

Deno.test("a cluster with another stream_prefix but the same subjects is refused, before the two mix", async () => {
  await using lab = await JetStreamLab.start();
  await using one = await lab.open({ shards: 2 });
  await one.ensureStreams();
  for (const compress of [true, false]) {
    await using other = await lab.open({ streamPrefix: "others", compress });
    await assert.rejects(other.ensureStreams(), (error) => {
      assert.ok(error instanceof StreamError && !error.transient);
      assert.match(
        error.message,
        /^Subject "change-log-1" belongs to stream "changes-1" of another cluster$/,
      );
      return true;
    });
  }
  assert.deepEqual(await lab.streamNames(), ["changes-1", "changes-2"]);
});

Deno.test("a cluster with another subject_prefix but the same names is refused, and told to choose both", async () => {
  await using lab = await JetStreamLab.start();
  await using one = await lab.open();
  await one.ensureStreams();
  await using other = await lab.open({ subjectPrefix: "others" });
  await assert.rejects(other.ensureStreams(), (error) => {
    assert.ok(error instanceof StreamError && !error.transient);
    assert.match(error.message, /^Failed to create stream "changes-1": .*in use/);
    assert.match(error.hint ?? "", /stream_prefix and a subject_prefix/);
    return true;
  });
});

Deno.test("only max_entries and replicas of an existing stream are changed", async () => {
  await using lab = await JetStreamLab.start();
  await lab.createStream(STREAM, "change-log-1");
  const before = await streamConfig(lab.admin, STREAM);
  await using log = await lab.open({ maxEntries: 77, updateExisting: true });
  await log.ensureStreams();
  assert.deepEqual(await streamConfig(lab.admin, STREAM), { ...before, max_msgs: 77 });
});

Deno.test("the time of a message is the server's, to the nanosecond", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open();
  await log.ensureStreams();
  await publishMany(log, 1, 1, 20);
  const manager = await jetstreamManager(lab.admin);
  for (const { sequence, timeNs } of await readSome(log, STREAM, 1, 20)) {
    const stored = await manager.direct.getMessage(STREAM, { seq: sequence });
    const text = stored?.header.get(DirectMsgHeaders.TimeStamp) ?? "";
    const [, seconds, fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(text) ?? [];
    assert.equal(
      timeNs,
      BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, "0")),
    );
  }
});

Deno.test("a slow reader buffers a bounded amount and loses nothing", async () => {
  await using lab = await JetStreamLab.start();
  await using writer = await lab.open();
  await writer.ensureStreams();
  const data = new Uint8Array(16_384);
  const acknowledgements = Array.from(
    { length: 4_000 },
    (_, i) => writer.publish(1, { id: `m${i}`, headers: new Map(), data }),
  );
  await Promise.all(acknowledgements);
  const { log: reader, connection } = await lab.openWithConnection();
  let count = 0;
  for await (const { sequence } of eachMessage(reader.read(STREAM, 1, AbortSignal.timeout(60_000)))) {
    assert.equal(sequence, ++count);
    // A round trip behind what the server has sent: by then it has sent all that it was asked for.
    if (count <= 3) {
      await eventually("a pull has arrived", () => connection.stats().inBytes > 0.8 * PULL_BYTES);
      for (let i = 0; i < 20; i++) await reader.streams();
      assert.ok(
        connection.stats().inBytes < 2.5 * PULL_BYTES,
        `${connection.stats().inBytes} bytes for ${count} messages`,
      );
    }
    // As the server does when nobody has pulled for a minute.
    if (count === 3) await deleteConsumers(lab.admin, STREAM);
    if (count === 4_000) break;
  }
});

Deno.test("a message larger than what a reader asks for at once is read", async () => {
  await using lab = await JetStreamLab.start({ config: "max_payload: 40MB\nmax_pending: 80MB\n" });
  await using log = await lab.open();
  await log.ensureStreams();
  await publishMany(log, 1, 1, 3);
  await log.publish(1, { id: "large", headers: new Map(), data: new Uint8Array(30 << 20) });
  await publishMany(log, 1, 4, 6);
  const sizes = (await readSome(log, STREAM, 1, 7)).map(({ data }) => data.length);
  assert.deepEqual(sizes, [2, 2, 2, 30 << 20, 2, 2, 2]);
});

Deno.test("a reader goes on at once when a message takes the very last byte that it asked for", async () => {
  await using lab = await JetStreamLab.start({ config: "max_payload: 2MB\n" });
  await using log = await lab.open();
  await log.ensureStreams();
  await publishMany(log, 1, 1, 1);
  // As long as the names of the reader's own, for the server counts the subject that its messages are answered to.
  const name = "probe".padEnd(READER_NAME_CHARS, "-");
  const { consumers } = await jetstreamManager(lab.admin);
  await consumers.add(STREAM, { name, ack_policy: "none" });
  const inbox = createInbox();
  const probing = lab.admin.subscribe(inbox, { max: 1 });
  lab.admin.publish(pullSubject(STREAM, name), "", { reply: inbox });
  const [probe] = await Array.fromAsync(probing);
  const fixedBytes = sizeOf(probe!) - probe!.data.length;
  const sessions: string[] = [];
  lab.admin.subscribe("$JS.API.CONSUMER.CREATE.>", {
    callback: (_, { subject }) => void sessions.push(subject),
  });
  await lab.admin.flush();
  const reading = eachMessage(log.read(STREAM, 2, AbortSignal.timeout(60_000)));
  await log.publish(1, { id: "m2", headers: new Map(), data: new Uint8Array(PULL_BYTES - fixedBytes) });
  assert.equal((await reading.next()).value?.sequence, 2);
  await publishMany(log, 1, 3, 3);
  assert.equal((await reading.next()).value?.sequence, 3);
  assert.equal(sessions.length, 1, "it was not given up for silence");
  await reading.return(undefined);
});

Deno.test("a header that is not well-formed hides no message", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open();
  await log.ensureStreams();
  await publishMany(log, 1, 1, 1);
  // The client library would not send this.
  const socket = await Deno.connect({ hostname: "127.0.0.1", port: lab.server.port });
  const head = "NATS/1.0\r\nb\u0001ad key \u00e9: x\r\n\r\n";
  const size = new TextEncoder().encode(head).length;
  await socket.write(new TextEncoder().encode(
    `CONNECT {"verbose":false,"headers":true}\r\nHPUB change-log-1 ${size} ${
      size + 4
    }\r\n${head}evil\r\nPING\r\n`,
  ));
  await eventually("it is stored", async () => (await log.streams())[0]?.last === 2);
  socket.close();
  await publishMany(log, 1, 2, 2);
  const messages = await readSome(log, STREAM, 1, 3);
  assert.deepEqual(messages.map(textOf), ["m1", "evil", "m2"]);
  assert.deepEqual([...messages[1]?.headers ?? []], []);
});

Deno.test("a reader that ends leaves no consumer behind", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open();
  await log.ensureStreams();
  await publishMany(log, 1, 1, 5);
  const stop = new AbortController();
  for await (const _ of log.read(STREAM, 1, stop.signal)) {
    assert.equal(await consumerCount(lab.admin, STREAM), 1);
    stop.abort();
  }
  await eventually("the consumer is gone", async () => await consumerCount(lab.admin, STREAM) === 0);
});

Deno.test("a reader goes on when its consumer is deleted under it", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open();
  await log.ensureStreams();
  const reading = readSome(log, STREAM, 1, 6);
  await publishMany(log, 1, 1, 3);
  await deleteConsumers(lab.admin, STREAM);
  await publishMany(log, 1, 4, 6);
  assert.deepEqual((await reading).map(textOf), ["m1", "m2", "m3", "m4", "m5", "m6"]);
});

Deno.test("nothing is lost or doubled when the server is killed while it is read and written", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open();
  await log.ensureStreams();
  const total = 4_000;
  const seen: LogMessage[] = [];
  const failures: StreamError[] = [];
  const reading = (async (): Promise<void> => {
    for await (const message of eachMessage(log.read(STREAM, 1, AbortSignal.timeout(60_000)))) {
      seen.push(message);
      if (seen.length === total) break;
    }
  })();
  let next = 0;
  const writers = Array.from({ length: 16 }, async () => {
    while (next < total) await publishPatiently(log, `m${++next}`, failures);
  });
  for (const point of [1_000, 2_000, 3_000]) {
    await eventually(`message ${point} was read`, () => seen.length >= point, { intervalMs: 1 });
    await lab.server.kill();
    await lab.server.start();
  }
  await Promise.all(writers);
  await reading;
  assert.deepEqual(seen.map(({ sequence }) => sequence), Array.from({ length: total }, (_, i) => i + 1));
  assert.equal(new Set(seen.map(textOf)).size, total);
  assert.ok(failures.length > 0);
});

Deno.test("a reader outlives a server that is away for a while", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open();
  await log.ensureStreams();
  const reading = readSome(log, STREAM, 1, 3);
  await publishMany(log, 1, 1, 1);
  await lab.server.kill();
  // Longer than any pause between attempts, and than the time-out of what was asked for before.
  await sleep(6_000);
  await assert.rejects(
    log.publish(1, makeMessage("x")),
    (error) => error instanceof StreamError && error.transient,
  );
  await lab.server.start();
  await eventually("it publishes again", () => publishMany(log, 1, 2, 3));
  assert.deepEqual((await reading).map(textOf), ["m1", "m2", "m3"]);
});

Deno.test("a reader that is stopped while the server is away ends at once", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open();
  await log.ensureStreams();
  await publishMany(log, 1, 1, 1);
  const stop = new AbortController();
  let count = 0;
  const reading = (async (): Promise<void> => {
    for await (const _ of eachMessage(log.read(STREAM, 1, stop.signal))) count++;
  })();
  await eventually("it reads", () => count === 1);
  await lab.server.kill();
  await assert.rejects(log.streams());
  stop.abort();
  await reading;
});

Deno.test("a reader notices that the stream came back shorter than it was", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open();
  await log.ensureStreams();
  await publishMany(log, 1, 1, 9);
  let count = 0;
  const reading = (async (): Promise<void> => {
    for await (const _ of eachMessage(log.read(STREAM, 1, AbortSignal.timeout(30_000)))) count++;
  })();
  const outcome = assert.rejects(reading, (error) => (error as StreamError).code === "STREAM_RECREATED");
  await eventually("it reads", () => count === 9);
  await lab.server.kill();
  await Deno.remove(lab.server.storeDir, { recursive: true });
  await lab.server.start();
  await eventually("the stream is there again", () => log.ensureStreams());
  await outcome;
});

Deno.test("a server without JetStream is waited for, with the words that the manual tells to look for", async () => {
  const port = freePort();
  await using server = startProcess({
    name: "nats-server without JetStream",
    command: await natsServerBinary(),
    args: ["-a", "127.0.0.1", "-p", String(port)],
  });
  await server.waitForLog("Server is ready");
  await withLog({ urls: [`nats://127.0.0.1:${port}`] }, {}, async (log) => {
    await assert.rejects(log.ensureStreams(), (error) => {
      assert.ok(error instanceof StreamError);
      assert.match(error.message, /^Failed to create stream.*No responders available/);
      assert.deepEqual([error.code, error.transient], ["NO_RESPONDERS", true]);
      assert.match(error.hint ?? "", /JetStream/);
      return true;
    });
  });
});

Deno.test("more replicas than servers are waited for, with a hint", async () => {
  await using lab = await JetStreamLab.start();
  await using log = await lab.open({ replicas: 3 });
  await assert.rejects(log.ensureStreams(), (error) => {
    assert.ok(error instanceof StreamError);
    assert.match(error.message, /^Failed to create stream "changes-1": .*replicas/);
    assert.deepEqual([error.code, error.transient], ["NO_PEERS", true]);
    assert.match(error.hint ?? "", /replicas/);
    return true;
  });
});

Deno.test("a server whose store is full is waited for, and that is what the hint says", async () => {
  await using lab = await JetStreamLab.start({ config: "jetstream { max_file_store: 1MB }" });
  await using log = await lab.open();
  await log.ensureStreams();
  const large = "x".repeat(400_000);
  const publishAll = async (): Promise<void> => {
    for (let i = 1; i <= 4; i++) await log.publish(1, makeMessage(`m${i}`, large));
  };
  await assert.rejects(publishAll(), (error) => {
    assert.ok(error instanceof StreamError);
    assert.deepEqual([error.code, error.transient], ["RESOURCE_LIMIT", true]);
    assert.match(error.hint ?? "", /^JetStream has no room left/);
    return true;
  });
});

const ACCOUNTS = `
accounts {
  PLAIN { users: [{ user: plain, password: p }] }
  JS {
    jetstream: enabled
    users: [
      { user: all, password: p }
      { user: reader, password: p, permissions: { publish: { deny: ["change-log-1", "$JS.API.STREAM.CREATE.>"] } } }
    ]
  }
}`;

Deno.test("an account without JetStream is told apart from a missing permission", async () => {
  await using lab = await JetStreamLab.start({ config: ACCOUNTS, userName: "all", userPassword: "p" });
  const as = (user: string): { urls: string[] } => ({
    urls: [lab.server.url.replace("//", `//${user}:p@`)],
  });
  await withLog(as("plain"), {}, async (log) => {
    await assert.rejects(log.ensureStreams(), (error) => {
      assert.match((error as Error).message, /^Failed to create stream.*JetStream not enabled for account/);
      return (error as StreamError).code === "JETSTREAM_DISABLED";
    });
  });
  await withLog(as("reader"), {}, async (log) => {
    const isDenied = (error: unknown): boolean => {
      assert.ok(error instanceof StreamError);
      assert.match(error.message, /Permissions Violation/);
      return error.code === "PERMISSION_DENIED" && !error.transient;
    };
    await assert.rejects(log.ensureStreams(), isDenied);
    await assert.rejects(log.publish(1, makeMessage("a")), isDenied);
  });
});

async function withLog(
  server: { urls: string[] },
  settings: Partial<typeof SETTINGS>,
  run: (log: JetStreamLog) => Promise<void>,
): Promise<void> {
  const options = { ...server, connectRetries: 1, reconnectWaitSeconds: 0.1, name: "node" };
  const signal = AbortSignal.timeout(30_000);
  const connection = await connectToNats(options, { signal });
  try {
    await using log = await JetStreamLog.open(connection, { ...SETTINGS, ...settings }, { signal });
    await run(log);
  } finally {
    await connection.close();
  }
}
