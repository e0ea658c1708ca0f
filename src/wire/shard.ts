/**
 * Which shard a row belongs to. The rule is the Go original's, so that both agree in a mixed cluster:
 * `hash % shards + 1`, the hash being 64-bit FNV-1 (multiply first, not FNV-1a) over the CBOR of an indefinite array,
 * the table name and then `[column, value]` for each key column in order of name.
 */

import { CborWriter, MAJOR } from "./cbor.ts";
import { isLowestInteger, LOWEST_INTEGER, RawText, type SqlValue } from "./event.ts";

const INDEFINITE_ARRAY = 0x9f;
const BREAK = 0xff;
const FLOAT16 = 0xf9;
const FLOAT16_INFINITY = 0x7c00;
const FLOAT16_MINUS_INFINITY = 0xfc00;

/** The FNV offset basis 0xcbf29ce484222325, in halves. */
const BASIS_HIGH = 0xcbf29ce4;
const BASIS_LOW = 0x84222325;
/** The FNV prime is 2^40 + 0x1b3. */
const PRIME_LOW = 0x1b3;
const TWO_32 = 0x100000000;

const writer = new CborWriter(1024);

/**
 * The shard, 1 … `shards`, of a row.
 *
 * @param keyColumns the table's key, ascending by code unit (`rowid` for a table without one)
 * @param keyValues in the same order
 */
export function shardOf(
  table: string,
  keyColumns: readonly string[],
  keyValues: readonly SqlValue[],
  shards: number,
): number {
  if (shards === 1) return 1;
  writeKey(table, keyColumns, keyValues);
  return fnvShard(writer.bytes, writer.length, shards);
}

/** The shard of all rows of a table that must share one: a table with a UNIQUE index besides its key. */
export function shardOfTable(table: string, shards: number): number {
  return shardOf(table, [], [], shards);
}

/** The 64-bit hash of a row's key, see {@link shardOf}. */
export function hashKey(
  table: string,
  keyColumns: readonly string[],
  keyValues: readonly SqlValue[],
): bigint {
  writeKey(table, keyColumns, keyValues);
  const { high, low } = fnv(writer.bytes, writer.length);
  return BigInt(high) << 32n | BigInt(low);
}

function writeKey(table: string, keyColumns: readonly string[], keyValues: readonly SqlValue[]): void {
  writer.clear();
  writer.writeByte(INDEFINITE_ARRAY);
  writer.writeText(table);
  for (let index = 0; index < keyColumns.length; index++) {
    writer.writeHead(MAJOR.array, 2);
    writer.writeText(keyColumns[index] as string);
    writeKeyValue(keyValues[index] as SqlValue);
  }
  writer.writeByte(BREAK);
}

/**
 * As on the wire, but for two cases in which the Go original's encoder chooses another form, and for a number whose two forms
 * are one key: they must meet in one shard.
 */
function writeKeyValue(value: SqlValue): void {
  if (value instanceof RawText) {
    writer.writeHead(MAJOR.text, value.bytes.length);
    writer.writeEncoded(value.bytes);
  } else if (value === Infinity) {
    writeFloat16(FLOAT16_INFINITY);
  } else if (value === -Infinity) {
    writeFloat16(FLOAT16_MINUS_INFINITY);
  } else {
    writer.writeValue(isLowestInteger(value) ? LOWEST_INTEGER : value);
  }
}

function writeFloat16(bits: number): void {
  writer.writeByte(FLOAT16);
  writer.writeByte(bits >> 8);
  writer.writeByte(bits & 0xff);
}

function fnvShard(bytes: Uint8Array, length: number, shards: number): number {
  const { high, low } = fnv(bytes, length);
  return ((high % shards) * (TWO_32 % shards) + low % shards) % shards + 1;
}

/**
 * In two 32-bit halves, since a bigint for each byte would be twenty times slower. No product exceeds 2^53:
 * a half times 0x1b3 has 41 bits, and the prime's 2^40 adds the low half, shifted by eight, to the high one.
 */
function fnv(bytes: Uint8Array, length: number): { high: number; low: number } {
  let high = BASIS_HIGH;
  let low = BASIS_LOW;
  for (let index = 0; index < length; index++) {
    const product = low * PRIME_LOW;
    const carry = Math.floor(product / TWO_32);
    high = Math.imul(high, PRIME_LOW) + (low << 8) + carry >>> 0;
    low = ((product >>> 0) ^ (bytes[index] as number)) >>> 0;
  }
  return { high, low };
}
