import assert from "node:assert/strict";
import { Decoder } from "cbor-x";
import { WireError } from "../lib/errors.ts";
import { CborReader, CborWriter, MAJOR, TAG_RAW_TEXT, TruncatedError } from "./cbor.ts";
import { RawText, type SqlValue } from "./event.ts";

const POWERS = [5n, 8n, 16n, 31n, 32n, 52n, 53n, 62n].map((bits) => 1n << bits);
const BOUNDARIES = [
  23n,
  24n,
  255n,
  256n,
  65_535n,
  65_536n,
  4_294_967_295n,
  9_007_199_254_740_993n,
  ...POWERS,
];

const INTEGERS: readonly bigint[] = [
  0n,
  ...BOUNDARIES.flatMap((n) => [n - 1n, n, n + 1n, -n - 1n, -n, 1n - n]),
  (1n << 63n) - 1n,
  -(1n << 63n),
];

const REALS: readonly number[] = [
  ...[0, 1, 0.1, 1.5, 100_000, 2 ** 53, 2 ** 64, 5e-324, 1e308].flatMap((real) => [real, -real]),
  Infinity,
  -Infinity,
];

const TEXTS: readonly string[] = [
  "",
  "a",
  "with\0NUL",
  "\ufeffBOM",
  "üñí 🚀",
  "é".repeat(12), // 24 bytes in 12 characters: the head grows
  "é".repeat(128),
  "🚀".repeat(70_000),
  ...[23, 24, 47, 48, 49, 255, 256, 65_536].map((length) => "x".repeat(length)),
  "x".repeat(190) + "é",
];

const BLOBS: readonly Uint8Array[] = [0, 1, 16, 17, 255, 256, 70_000].map((length) =>
  new Uint8Array(length).fill(0xfe)
);

Deno.test("cbor: every storage class comes back as it was written", () => {
  const raw = new RawText(new Uint8Array([0x61, 0xff, 0x00]));
  for (const value of [null, raw, ...INTEGERS, ...REALS, ...TEXTS, ...BLOBS]) {
    const reader = new CborReader(encoded(value));
    const back = reader.readValue();
    assert.deepEqual(back, value);
    assert.ok(Object.is(back, value) || typeof value === "object", "-0.0 is not 0.0");
    assert.ok(reader.atEnd && reader.canonical);
  }
});

Deno.test("cbor: cbor-x reads what we write", () => {
  const oracle = new Decoder({ int64AsType: "bigint", mapsAsObjects: false } as object);
  for (const value of [null, ...INTEGERS, ...REALS, ...TEXTS, ...BLOBS]) {
    const read = oracle.decode(encoded(value));
    const wanted = typeof value === "bigint" && typeof read === "number" ? Number(value) : value;
    assert.deepEqual(read instanceof Uint8Array ? new Uint8Array(read) : read, wanted);
  }
});

Deno.test("cbor: integers and heads take their shortest form", () => {
  const sizes: [bigint, number][] = [[23n, 1], [24n, 2], [255n, 2], [256n, 3], [65_536n, 5], [
    4_294_967_296n,
    9,
  ]];
  for (const [value, size] of sizes) {
    assert.equal(encoded(value).length, size);
    assert.equal(encoded(-1n - value).length, size);
  }
});

Deno.test("cbor: REAL 1.0 and INTEGER 1 differ, and NaN is NULL as in SQLite", () => {
  assert.equal(encoded(1.0).toHex(), "fb3ff0000000000000");
  assert.equal(encoded(1n).toHex(), "01");
  assert.equal(encoded(NaN).toHex(), "f6");
  assert.equal(read("fb7ff8000000000000"), null);
});

Deno.test("cbor: raw text is a tagged byte string", () => {
  assert.equal(TAG_RAW_TEXT, 0xfdea);
  assert.equal(encoded(new RawText(new Uint8Array([0xff]))).toHex(), "d9fdea41ff");
});

Deno.test("cbor: an integer beyond 64 bits is not written", () => {
  assert.throws(() => encoded(1n << 63n), RangeError);
  assert.throws(() => encoded(-(1n << 63n) - 1n), RangeError);
});

Deno.test("cbor: forms of the Go original and of other encoders are read", () => {
  const cases: [string, SqlValue][] = [
    ["f5", 1n],
    ["f4", 0n],
    ["f7", null],
    ["f97c00", Infinity],
    ["f9fc00", -Infinity],
    ["f93c00", 1],
    ["fa3fc00000", 1.5],
    ["1800", 0n],
    ["1b0000000000000001", 1n],
    ["3b0000000000000001", -2n],
    ["780161", "a"],
    ["d820a1011a65dfc900", "2024-02-29 00:00:00"],
    ["d820a10120", "1969-12-31 23:59:59"],
    ["d820a101f6", null],
  ];
  for (const [hex, value] of cases) {
    assert.deepEqual(read(hex), value, hex);
    assert.equal(canonical(hex), false, hex);
  }
});

Deno.test("cbor: whatever is not allowed is a WireError", () => {
  const cases = {
    "integer beyond 64 bits": "1b8000000000000000",
    "negative integer beyond 64 bits": "3b8000000000000000",
    "text that is not UTF-8": "61ff",
    "an encoded surrogate": "63eda080",
    "text of indefinite length": "7f6161ff",
    "bytes of indefinite length": "5f4161ff",
    "an array": "80",
    "a map": "a0",
    "an unknown tag": "c101",
    "raw text around text": "d9fdea6161",
    "a time with another key": "d820a10201",
    "a time with a fraction": "d820a101fb3ff0000000000000",
    "a time beyond the year 9999": "d820a1011b00ffffffffffffff",
    "an unknown simple value": "e0",
    "a break": "ff",
    "reserved additional information": "1c",
    "a length beyond 2^53": "5bffffffffffffffff",
    "a length beyond the end": "5affffffff",
  };
  for (const [what, hex] of Object.entries(cases)) assert.throws(() => read(hex), WireError, what);
});

Deno.test("cbor: an item that breaks off says how many bytes it takes", () => {
  const whole = encoded("a text of some length");
  assert.throws(() => new CborReader(whole.subarray(0, 5)).readValue(), new TruncatedError(whole.length));
  assert.throws(() => new CborReader(new Uint8Array(0)).readValue(), new TruncatedError(1));
});

Deno.test("cbor: items of any kind are skipped, up to a depth", () => {
  const items = [
    "00",
    "3903e8",
    "62c3bc",
    "420000",
    "f6",
    "f97c00",
    "d820a1011a65dfc900",
    "8201a1616182f5f4",
  ];
  for (const item of items) {
    const reader = new CborReader(Uint8Array.fromHex(item));
    reader.skipItem();
    assert.ok(reader.atEnd, item);
  }
  for (const hostile of ["81".repeat(100) + "00", "9bffffffffffffffff", "9f00ff", "9affffffff00", "61"]) {
    assert.throws(() => new CborReader(Uint8Array.fromHex(hostile)).skipItem(), WireError, hostile);
  }
});

Deno.test("cbor: a lone surrogate is written as the replacement character", () => {
  assert.equal(new CborReader(encoded("a\ud800")).readValue(), "a\ufffd");
});

Deno.test("cbor: a writer can drop its beginning", () => {
  const writer = new CborWriter(4);
  writer.writeHead(MAJOR.array, 2);
  writer.writeText("first");
  writer.writeText("second");
  writer.discard(7);
  assert.equal(new CborReader(writer.copy()).readText("text"), "second");
});

function encoded(value: SqlValue): Uint8Array {
  const writer = new CborWriter(1);
  writer.writeValue(value);
  return writer.copy();
}

function read(hex: string): SqlValue {
  return new CborReader(Uint8Array.fromHex(hex)).readValue();
}

function canonical(hex: string): boolean {
  const reader = new CborReader(Uint8Array.fromHex(hex));
  reader.readValue();
  return reader.canonical;
}
