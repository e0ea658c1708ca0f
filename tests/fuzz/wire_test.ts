/**
 * The wire against made-up input: whatever is encoded comes back, and whatever is thrown at a decoder it either
 * returns or throws a WireError, in time that its size bounds. `HARMONYLITE_SEED` repeats a run.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import { WireError } from "../../src/lib/errors.ts";
import { decodeParts, parseBatchName, parsePart } from "../../src/wire/batch.ts";
import {
  decodeEvents,
  encodeEvent,
  EventDecoder,
  EventShape,
  MAX_TIMESTAMP_NS,
} from "../../src/wire/codec.ts";
import { compress, decompress } from "../../src/wire/compression.ts";
import { type ChangeEvent, RawText, type SqlValue } from "../../src/wire/event.ts";

const MAX_INT64 = (1n << 63n) - 1n;
const MAX_CONTENT_BYTES = 1_000_000;
/** Far above what any input here takes, far below what quadratic time would. */
const MAX_DECODE_MS = 1000;
const RUNS = 2000;

const seed = Number(Deno.env.get("HARMONYLITE_SEED") ?? Date.now() & 0x7fffffff);
console.log(`HARMONYLITE_SEED=${seed}`);

const text = fc.string({ unit: "binary", maxLength: 80 });
const int64 = fc.bigInt({ min: -MAX_INT64 - 1n, max: MAX_INT64 });
const blob = fc.uint8Array({ maxLength: 80 }).map((bytes) => new Uint8Array(bytes));

const value: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constant(null),
  int64,
  fc.bigInt({ min: -300n, max: 70_000n }),
  fc.double({ noNaN: true }),
  text,
  blob,
  blob.map((bytes) => new RawText(bytes)),
);

const row = fc.uniqueArray(fc.tuple(text, value), { selector: ([name]) => name, minLength: 1, maxLength: 30 })
  .map((cells) => cells.sort(([a], [b]) => a < b ? -1 : 1));

const event: fc.Arbitrary<Omit<ChangeEvent, "hash">> = fc.record({
  node: fc.bigInt({ min: 1n, max: MAX_INT64 }),
  id: int64,
  type: fc.constantFrom("insert", "update", "delete"),
  table: text,
  row,
  schemaHash: fc.option(fc.string({ unit: "binary", maxLength: 60 }), { nil: undefined }),
  ts: fc.option(fc.bigInt({ min: 1n, max: MAX_TIMESTAMP_NS }), { nil: undefined }),
}).map(({ row, ...rest }) => ({
  ...rest,
  columns: row.map(([name]) => name),
  values: row.map(([, value]) => value),
}));

const message = fc.array(event, { minLength: 1, maxLength: 5 }).map((events) =>
  concat(events.map(encodeEvent))
);

Deno.test("fuzz: any events come back as they were, from one message", () => {
  check(fc.property(fc.array(event, { minLength: 1, maxLength: 5 }), (events) => {
    const back = decodeEvents(concat(events.map(encodeEvent)));
    assert.deepEqual(back.map(({ hash: _, ...rest }) => rest), events);
    back.forEach((one) => assert.deepEqual(decodeEvents(encodeEvent(one)), [one]));
  }));
});

Deno.test("fuzz: what a decoder remembers does not change what it decodes", () => {
  const veteran = new EventDecoder();
  check(fc.property(message, (bytes) => {
    assert.deepEqual(veteran.decode(bytes), new EventDecoder().decode(bytes));
  }));
});

Deno.test("fuzz: any bytes are decoded or refused", () => {
  check(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => assertDecodedOrRefused(bytes)));
});

Deno.test("fuzz: mutated messages are decoded or refused", () => {
  const mutation = fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom("set", "insert", "remove", "repeat"));
  check(fc.property(message, fc.array(mutation, { minLength: 1, maxLength: 6 }), (bytes, mutations) => {
    assertDecodedOrRefused(mutations.reduce(mutated, bytes));
  }));
});

Deno.test("fuzz: truncated messages are refused, unless they end between two events", () => {
  check(
    fc.property(
      message,
      fc.nat(),
      (bytes, at) => assertDecodedOrRefused(bytes.subarray(0, at % bytes.length)),
    ),
  );
});

Deno.test("fuzz: mutated frames are unpacked or refused", () => {
  check(fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(), fc.nat(255), (content, at, byte) => {
    const frame = compress(content);
    assert.deepEqual(decompress(frame, MAX_CONTENT_BYTES), new Uint8Array(content));
    frame[at % frame.length] = byte;
    assertOrRefused(() => decompress(frame, MAX_CONTENT_BYTES));
  }));
});

Deno.test("fuzz: parts cut anywhere are put together, and any other bytes are refused", () => {
  check(fc.property(message, fc.array(fc.nat(), { maxLength: 8 }), fc.nat(255), (bytes, cuts, byte) => {
    const ends = [...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
    const parts = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
    assert.deepEqual([...decodeParts(parts)].flat(), decodeEvents(bytes));
    assertOrRefused(() => [...decodeParts([...parts.slice(1), new Uint8Array([byte])])]);
  }));
});

Deno.test("fuzz: any header is read or refused", () => {
  check(fc.property(fc.oneof(text, fc.stringMatching(/^[0-9\/-]{0,60}$/)), (header) => {
    assertOrRefused(() => parseBatchName(header));
    assertOrRefused(() => parsePart(header));
  }));
});

Deno.test("fuzz: a shape keeps names that any database may have", () => {
  check(fc.property(row, (cells) => {
    const columns = new EventShape("t", cells.map(([name]) => name).reverse(), undefined).columns;
    assert.deepEqual(columns, cells.map(([name]) => name));
  }));
});

function check<Values>(property: fc.IProperty<Values>): void {
  fc.assert(property, { seed, numRuns: RUNS });
}

function assertDecodedOrRefused(bytes: Uint8Array): void {
  const start = performance.now();
  assertOrRefused(() => decodeEvents(bytes));
  assertOrRefused(() => [...decodeParts([bytes])]);
  assert.ok(performance.now() - start < MAX_DECODE_MS, `${bytes.length} bytes took too long`);
}

function assertOrRefused(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
}

type Mutation = [number, number, string];

function mutated(bytes: Uint8Array, [seed, byte, kind]: Mutation): Uint8Array {
  const at = seed % Math.max(bytes.length, 1);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  if (kind === "insert") return concat([before, new Uint8Array([byte]), after]);
  if (kind === "remove") return concat([before, after.subarray(byte % 16)]);
  if (kind === "repeat") return concat([before, after.subarray(0, byte), after]);
  return concat([before, new Uint8Array([byte]), after.subarray(1)]);
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}
