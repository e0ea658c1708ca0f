import { BatchWriter } from "../../../src/wire/batch.ts";
import { EventDecoder, EventShape } from "../../../src/wire/codec.ts";
import { decompress } from "../../../src/wire/compression.ts";
import type { SqlValue } from "../../../src/wire/event.ts";
import type { Figure } from "../figures.ts";
import type { Part } from "./part.ts";

const ROWS = 50_000;
const ROUNDS = 5;
const LIMITS = { maxBatch: 4096, maxMessageBytes: 1_000_000, compress: true };

/** Our own work on a row without SQLite and NATS, in this process; the best of some rounds. */
export const codec: Part = {
  name: "codec",
  help: "encoding and decoding rows, compression included",
  measure: () => {
    const shape = new EventShape("t", ["id", "a", "b", "c"], "0".repeat(64));
    const rows = Array.from({ length: ROWS }, (_, id) => rowValues(id));
    let [encodeMs, decodeMs] = [Infinity, Infinity];
    for (let round = 0; round < ROUNDS; round++) {
      const start = performance.now();
      const messages = encode(shape, rows);
      const encoded = performance.now();
      decode(messages);
      encodeMs = Math.min(encodeMs, encoded - start);
      decodeMs = Math.min(decodeMs, performance.now() - encoded);
    }
    const figures: Figure[] = [
      { name: "encode", value: ROWS / encodeMs * 1000, unit: "rows/s" },
      { name: "decode", value: ROWS / decodeMs * 1000, unit: "rows/s" },
    ];
    return Promise.resolve(figures);
  },
};

/** In the order of the shape's columns: a, b, c, id. */
function rowValues(id: number): SqlValue[] {
  return [`name ${id} ${"x".repeat(40)}`, id * 0.5, crypto.getRandomValues(new Uint8Array(16)), BigInt(id)];
}

function encode(shape: EventShape, rows: readonly SqlValue[][]): Uint8Array[] {
  const writer = new BatchWriter(1n, LIMITS);
  const firstTs = BigInt(Date.now()) * 1_000_000n;
  rows.forEach((values, index) =>
    writer.add(shape, "insert", BigInt(index), firstTs + BigInt(index), values)
  );
  return writer.finish().parts.map(({ data }) => data);
}

function decode(messages: readonly Uint8Array[]): void {
  const decoder = new EventDecoder();
  const count = messages.reduce((sum, data) => sum + decoder.decode(decompress(data)).length, 0);
  if (count !== ROWS) throw new Error(`Cannot decode what was encoded: ${count} of ${ROWS} rows`);
}
