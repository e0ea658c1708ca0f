import type { SQLInputValue } from "node:sqlite";
import type { Random } from "../sim/random.ts";

/** A value of one of SQLite's storage classes; text as its bytes, which need not be valid. */
export type RandomValue = null | bigint | number | { readonly blob: Uint8Array } | {
  readonly text: Uint8Array;
};

const MAX_INT64 = (1n << 63n) - 1n;
const INTEGERS = [
  0n,
  1n,
  -1n,
  5n,
  255n,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 53n) + 1n,
  -(1n << 53n) - 1n,
  MAX_INT64,
  MAX_INT64 - 1n,
  -MAX_INT64 - 1n,
];
const REALS = [
  0,
  -0,
  1,
  -1,
  0.1,
  1e308,
  -1e308,
  5e-324,
  2.2250738585072014e-308,
  2 ** 53,
  2 ** 53 + 2,
  2 ** 63,
  -(2 ** 63),
  Infinity,
  -Infinity,
  NaN,
];
const TEXTS = [
  "",
  "1",
  "007",
  "-0",
  " 1 ",
  "1.0",
  "1e3",
  "1e400",
  "0x10",
  "9223372036854775808",
  "nan",
  "true",
  "2024-02-30",
  "2024-01-02 03:04:05.678901234",
  "2024-01-02T03:04:05.678+02:00",
  "02.01.2024 3:04 PM",
  "a\0b",
  "\0",
  "\uFEFFBOM",
  "\uFFFD",
  "naïve 日本 🎈",
  'it\'s "quoted"',
];

/** A value that some layer may well take for another one. */
export function randomValue(random: Random): RandomValue {
  const kind = random.below(20);
  if (kind === 0) return null;
  if (kind < 4) return random.pick(INTEGERS);
  if (kind < 6) return BigInt.asIntN(64, BigInt(random.next()) << 32n | BigInt(random.next()));
  if (kind < 9) return random.pick(REALS);
  if (kind < 11) return realOfBits(random);
  if (kind < 15) return { text: new TextEncoder().encode(random.pick(TEXTS)) };
  if (kind < 17) return { text: randomBytes(random, 8) };
  return { blob: randomBytes(random, random.chance(0.02) ? 100_000 : 40) };
}

/** Any double: denormal ones and all the ways to spell NaN, which SQLite stores as NULL, are among them. */
function realOfBits(random: Random): number {
  return new Float64Array(new Uint32Array([random.next(), random.next()]).buffer)[0]!;
}

function randomBytes(random: Random, most: number): Uint8Array {
  return Uint8Array.from({ length: random.below(most + 1) }, () => random.below(256));
}

/** What to write in a statement for each value, and what to bind. */
export function bind(
  values: readonly RandomValue[],
): { expressions: string[]; parameters: SQLInputValue[] } {
  const isText = (value: RandomValue): boolean =>
    typeof value === "object" && value !== null && "text" in value;
  return {
    expressions: values.map((value) => isText(value) ? "CAST(? AS TEXT)" : "?"),
    parameters: values.map((value) => {
      if (typeof value !== "object" || value === null) return value;
      return "text" in value ? value.text : value.blob;
    }),
  };
}

/** An expression that reads a column without losing anything: text as its bytes. */
export function exactly(column: string): string {
  return `CASE typeof(${column}) WHEN 'text' THEN CAST(${column} AS BLOB) ELSE ${column} END`;
}
