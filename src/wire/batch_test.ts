import assert from "node:assert/strict";
import fc from "fast-check";
import { WireError } from "../lib/errors.ts";
import {
  type Batch,
  type BatchLimits,
  BatchWriter,
  decodeParts,
  MAX_PARTS,
  messageId,
  parseBatchName,
  parsePart,
} from "./batch.ts";
import { decodeEvents, EventShape } from "./codec.ts";
import { decompress, isCompressed } from "./compression.ts";
import type { ChangeEvent } from "./event.ts";

const SHAPE = new EventShape("t", ["id", "text"], "hash");
const NODE = 42n;
const FIRST_TS = 1_000n;
const ROOMY: BatchLimits = { maxBatch: 4096, maxMessageBytes: 1_000_000, compress: false };

Deno.test("batch: what fits into one message has no name", () => {
  const batch = batchOf([1, 2, 3], ROOMY);
  assert.equal(batch.name, undefined);
  assert.deepEqual(batch.parts.map(({ batch, part }) => [batch, part]), [[undefined, undefined]]);
  assert.deepEqual([batch.firstTs, batch.lastTs, batch.count], [FIRST_TS, FIRST_TS + 2n, 3]);
});

Deno.test("batch: parts are cut between events, by number and by size", () => {
  const byNumber = batchOf([1, 1, 1, 1, 1], { ...ROOMY, maxBatch: 2 });
  assert.deepEqual(eventsInEach(byNumber), [2, 2, 1]);
  assert.deepEqual(byNumber.parts.map(({ part }) => part), ["1/3", "2/3", "3/3"]);
  const bySize = batchOf([400, 400, 400, 10, 10], { ...ROOMY, maxMessageBytes: 1000 });
  assert.deepEqual(eventsInEach(bySize), [2, 3]);
});

Deno.test("batch: exactly the limit is one message", () => {
  assert.equal(batchOf([1, 1], { ...ROOMY, maxBatch: 2 }).parts.length, 1);
  const size = batchOf([1, 1], ROOMY).parts[0]?.data.length as number;
  assert.equal(batchOf([1, 1], { ...ROOMY, maxMessageBytes: size }).parts.length, 1);
  assert.equal(batchOf([1, 1], { ...ROOMY, maxMessageBytes: size - 1 }).parts.length, 2);
});

Deno.test("batch: an event larger than a message is cut, its neighbours are not", () => {
  const batch = batchOf([10, 5000, 10], { ...ROOMY, maxMessageBytes: 1000 });
  assert.ok(batch.parts.length >= 6);
  assert.equal(decodeEvents(batch.parts[0]?.data as Uint8Array).length, 1);
  assert.deepEqual(lengthsOf(batch), [10, 5000, 10]);
});

Deno.test("batch: compressed parts are frames, and mean the same", () => {
  const plain = batchOf([300, 300, 300, 300], { ...ROOMY, maxMessageBytes: 1000 });
  const packed = batchOf([300, 300, 300, 300], { ...ROOMY, maxMessageBytes: 1000, compress: true });
  assert.ok(packed.parts.every(({ data }) => isCompressed(data)));
  assert.equal(packed.name, plain.name, "contents and cuts are the same");
  assert.deepEqual(eventsOf(packed), eventsOf(plain));
});

Deno.test("batch: a cut before bytes that look like a zstd frame is no obstacle", () => {
  const blob = new Uint8Array(400);
  for (let at = 0; at < blob.length; at += 4) blob.set([0x28, 0xb5, 0x2f, 0xfd], at);
  for (let maxMessageBytes = 100; maxMessageBytes < 104; maxMessageBytes++) {
    const writer = new BatchWriter(NODE, { ...ROOMY, maxMessageBytes });
    writer.add(SHAPE, "insert", 1n, FIRST_TS, [1n, blob]);
    assert.deepEqual(eventsOf(writer.finish()).map((event) => event.values[1]), [blob]);
  }
});

Deno.test("batch: a writer starts afresh after each batch", () => {
  const writer = new BatchWriter(NODE, { ...ROOMY, maxBatch: 2 });
  const make = (): Batch => {
    for (let id = 0n; id < 5n; id++) writer.add(SHAPE, "insert", id, FIRST_TS + id, [id, "x"]);
    return writer.finish();
  };
  assert.deepEqual(make(), make());
  assert.equal(writer.count, 0);
  assert.throws(() => writer.finish(), RangeError);
});

Deno.test("batch: the range of ts is that of all events, in whatever order", () => {
  const writer = new BatchWriter(NODE, ROOMY);
  for (const ts of [50n, 20n, 90n, 40n]) writer.add(SHAPE, "insert", 1n, ts, [1n, "x"]);
  const { firstTs, lastTs } = writer.finish();
  assert.deepEqual([firstTs, lastTs], [20n, 90n]);
});

Deno.test("batch: the hash that add returns is the one that is decoded", () => {
  const writer = new BatchWriter(NODE, { ...ROOMY, maxBatch: 1 });
  const hashes = [1n, 2n, 3n].map((id) => writer.add(SHAPE, "delete", id, id, [id, null]));
  assert.deepEqual(eventsOf(writer.finish()).map((event) => event.hash), hashes);
});

Deno.test("batch: another content or another cut is another name", () => {
  const limits = { ...ROOMY, maxMessageBytes: 1000 };
  const batches = [
    batchOf([400, 400, 400], limits),
    batchOf([400, 400, 401], limits),
    batchOf([400, 400, 400], { ...limits, maxMessageBytes: 900 }),
    batchOf([400, 400, 400], { ...limits, maxBatch: 1 }),
    batchOf([400, 400, 5000], limits),
    batchOf([400, 400, 5000], { ...limits, maxMessageBytes: 999 }),
  ];
  const names = batches.map(({ name }) => name?.split("-").at(-1));
  const cuts = batches.map((batch) => batch.parts.map(({ data }) => data.toHex()).join("/"));
  assert.equal(new Set(names).size, new Set(cuts).size);
  assert.equal(batchOf([400, 400, 400], limits).name, batches[0]?.name);
});

Deno.test("batch: any events under any limits are put together as they were", () => {
  const property = fc.property(
    fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 30 }),
    fc.integer({ min: 1, max: 8 }),
    fc.integer({ min: 1, max: 900 }),
    fc.boolean(),
    (lengths, maxBatch, maxMessageBytes, compress) => {
      const batch = batchOf(lengths, { maxBatch, maxMessageBytes, compress });
      assert.deepEqual(lengthsOf(batch), lengths);
      assert.deepEqual(eventsOf(batch).map((event) => event.id), lengths.map((_, index) => BigInt(index)));
      assert.ok(batch.parts.every(({ data }) => decompress(data).length <= maxMessageBytes));
      assertNamed(batch);
    },
  );
  const seed = Date.now() & 0x7fffffff;
  console.log(`seed ${seed}`);
  fc.assert(property, { seed });
});

Deno.test("batch: an event in thousands of parts is put together in time", () => {
  const batch = batchOf([300_000], { ...ROOMY, maxMessageBytes: 20 });
  assert.ok(batch.parts.length > 15_000);
  assert.deepEqual(lengthsOf(batch), [300_000]);
});

Deno.test("batch: an event of thousands of values, cut after every byte, is put together in time", () => {
  const columns = Array.from({ length: 10_000 }, (_, index) => `c${index}`);
  const writer = new BatchWriter(NODE, { ...ROOMY, maxMessageBytes: 1 });
  writer.add(new EventShape("wide", columns, undefined), "insert", 1n, 1n, columns.map(() => 1n));
  const start = performance.now();
  assert.deepEqual(eventsOf(writer.finish()).map((event) => event.values.length), [columns.length]);
  assert.ok(performance.now() - start < 5000);
});

Deno.test("batch: a missing part, a part too many, and parts in the wrong order are WireErrors", () => {
  const parts = batchOf([3000], { ...ROOMY, maxMessageBytes: 1000 }).parts.map(({ data }) => data);
  const [first, second] = parts as [Uint8Array, Uint8Array];
  assert.throws(() => [...decodeParts(parts.slice(0, -1))], WireError);
  assert.throws(() => [...decodeParts([...parts, first])], WireError);
  assert.throws(() => [...decodeParts([second, first, ...parts.slice(2)])], WireError);
});

Deno.test("batch: more parts than any receiver takes are not made", () => {
  const writer = new BatchWriter(NODE, { maxBatch: 1, maxMessageBytes: 1, compress: false });
  const add = (): unknown => writer.add(SHAPE, "insert", 1n, 1n, [1n, "x".repeat(MAX_PARTS)]);
  assert.throws(add, RangeError);
});

Deno.test("batch: names are read back, and nothing else is", () => {
  const name = batchOf([1, 1, 1], { ...ROOMY, maxBatch: 1 }).name as string;
  const { hash, ...rest } = parseBatchName(name);
  assert.deepEqual(rest, { node: NODE, firstTs: FIRST_TS, lastTs: FIRST_TS + 2n, parts: 3 });
  assert.equal(hash.length, 16);
  const hostile = [
    "",
    "x",
    "42-1000-1002-3",
    "42-1000-1002-3-0123456789ABCDEF",
    "42-1000-1002-3-0123456789abcdef0",
    "42-1000-1002-3-0123456789abcdef\n",
    "-1-1000-1002-3-0123456789abcdef",
    "042-1000-1002-3-0123456789abcdef",
    "0-1000-1002-3-0123456789abcdef",
    "9223372036854775808-1000-1002-3-0123456789abcdef",
    "42-1000-9223372036854775808-3-0123456789abcdef",
    "42-1002-1000-3-0123456789abcdef",
    "42-1000-1002-1-0123456789abcdef",
    "42-1000-1002-100001-0123456789abcdef",
    "1".repeat(100_000),
  ];
  for (const text of hostile) assert.throws(() => parseBatchName(text), WireError, text.slice(0, 60));
});

Deno.test("batch: part numbers are read strictly", () => {
  assert.deepEqual(parsePart("1/2"), { index: 1, count: 2 });
  assert.deepEqual(parsePart("100000/100000"), { index: 100_000, count: 100_000 });
  const hostile = [
    "",
    "1",
    "0/2",
    "3/2",
    "1/1",
    "1/100001",
    "01/2",
    "1/2 ",
    "1/2\n",
    "-1/2",
    "1.5/2",
    "1e1/20",
  ];
  for (const text of hostile) assert.throws(() => parsePart(text), WireError, text);
});

Deno.test("batch: a message id is made of node, headers and data", () => {
  const data = new Uint8Array([1, 2, 3]);
  const headers = new Map([["batch", "b"], ["part", "1/2"]]);
  const id = messageId(NODE, headers, data);
  assert.match(id, /^42-[0-9a-f]{32}$/);
  assert.equal(messageId(NODE, new Map([["part", "1/2"], ["batch", "b"]]), data), id);
  const others = [
    messageId(43n, headers, data),
    messageId(NODE, new Map(), data),
    messageId(NODE, new Map([["batch", "b"], ["part", "2/2"]]), data),
    messageId(NODE, headers, new Uint8Array([1, 2, 4])),
  ];
  assert.equal(new Set([id, ...others]).size, 5);
});

/** One insert for each length of text. */
function batchOf(lengths: readonly number[], limits: BatchLimits): Batch {
  const writer = new BatchWriter(NODE, limits);
  lengths.forEach((length, index) => {
    writer.add(SHAPE, "insert", BigInt(index), FIRST_TS + BigInt(index), [BigInt(index), "x".repeat(length)]);
  });
  return writer.finish();
}

function eventsOf(batch: Batch): ChangeEvent[] {
  return [...decodeParts(batch.parts.map(({ data }) => data))].flat();
}

function lengthsOf(batch: Batch): number[] {
  return eventsOf(batch).map((event) => (event.values[1] as string).length);
}

/** Only for batches whose events are all whole. */
function eventsInEach(batch: Batch): number[] {
  return batch.parts.map(({ data }) => decodeEvents(data).length);
}

function assertNamed(batch: Batch): void {
  const count = batch.parts.length;
  if (count === 1) return assert.equal(batch.name, undefined);
  assert.equal(parseBatchName(batch.name as string).parts, count);
  batch.parts.forEach(({ batch: name, part }, index) => {
    assert.equal(name, batch.name);
    assert.deepEqual(parsePart(part as string), { index: index + 1, count });
  });
}
