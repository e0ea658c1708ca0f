import { Buffer } from "node:buffer";
import { release } from "../lib/memory.ts";
import { FLOAT64, MAJOR, MAX_HEAD_BYTES, NULL, TAG_RAW_TEXT } from "./cbor_format.ts";
import { RawText, type SqlValue } from "./event.ts";

const INITIAL_CAPACITY_BYTES = 16 * 1024;
/** More memory than this is given back: four messages of the usual `max_payload`. */
const MAX_KEPT_BYTES = 4 * 1024 * 1024;
/** A UTF-16 code unit never takes more than this in UTF-8. */
const MAX_UTF8_BYTES = 3;
/** Up to this many characters a loop in JavaScript beats a call of TextEncoder (measured on Deno 2.9.6). */
const SHORT_TEXT_CHARS = 48;
/** From this many characters on it is worth counting the bytes first, and so taking a third of the memory. */
const LONG_TEXT_CHARS = 256 * 1024;
/** Up to this many bytes a loop in JavaScript beats `TypedArray.set`. */
const SHORT_COPY_BYTES = 16;

const textEncoder = new TextEncoder();

/**
 * A growing buffer that items are appended to. It is meant to be kept and used again:
 * {@link clear} keeps the memory, unless one large event has made it huge.
 */
export class CborWriter {
  /** The memory written to; replaced when it grows. Valid up to {@link length}. */
  bytes: Uint8Array;
  /** View of {@link bytes}. */
  view: DataView;
  /** How many bytes have been written. */
  length = 0;

  constructor(capacity: number = INITIAL_CAPACITY_BYTES) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  clear(): void {
    this.length = 0;
    if (this.bytes.length <= MAX_KEPT_BYTES) return;
    release(this.bytes);
    this.#use(new Uint8Array(INITIAL_CAPACITY_BYTES));
  }

  /** A copy of a range of what was written, the whole by default. */
  copy(start = 0, end: number = this.length): Uint8Array {
    return this.bytes.slice(start, end);
  }

  /** Drops the first bytes and moves the rest to the front. */
  discard(count: number): void {
    this.bytes.copyWithin(0, count, this.length);
    this.length -= count;
  }

  /** Makes room for so many more bytes. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed > this.bytes.length) this.#grow(needed);
  }

  #grow(needed: number): void {
    // Twice as much for many small items; for a large one a little more than it takes, as little comes after it.
    const room = needed > MAX_KEPT_BYTES ? needed * 1.125 : this.bytes.length * 2;
    const grown = new Uint8Array(Math.max(needed, Math.ceil(room)));
    grown.set(this.bytes.subarray(0, this.length));
    release(this.bytes);
    this.#use(grown);
  }

  #use(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  /** Any byte of CBOR that needs no argument, such as the head of an indefinite array. */
  writeByte(byte: number): void {
    this.reserve(1);
    this.bytes[this.length++] = byte;
  }

  /** Bytes that are encoded already. */
  writeEncoded(encoded: Uint8Array): void {
    this.reserve(encoded.length);
    this.bytes.set(encoded, this.length);
    this.length += encoded.length;
  }

  /** A major type with its argument (0 … 2^53 − 1) in the shortest form. */
  writeHead(major: number, argument: number): void {
    this.reserve(MAX_HEAD_BYTES);
    const { bytes, length } = this;
    const type = major << 5;
    if (argument < 24) {
      bytes[length] = type | argument;
      this.length = length + 1;
    } else if (argument < 0x100) {
      bytes[length] = type | 24;
      bytes[length + 1] = argument;
      this.length = length + 2;
    } else {
      this.#writeLongHead(type, argument);
    }
  }

  #writeLongHead(type: number, argument: number): void {
    const { bytes, view, length } = this;
    if (argument < 0x10000) {
      bytes[length] = type | 25;
      view.setUint16(length + 1, argument);
      this.length = length + 3;
    } else if (argument < 0x100000000) {
      bytes[length] = type | 26;
      view.setUint32(length + 1, argument);
      this.length = length + 5;
    } else {
      bytes[length] = type | 27;
      view.setUint32(length + 1, Math.floor(argument / 0x100000000));
      view.setUint32(length + 5, argument >>> 0);
      this.length = length + 9;
    }
  }

  /** An INTEGER, −2^63 … 2^63 − 1; a larger bigint is a RangeError. */
  writeInteger(value: bigint): void {
    // Rounding never carries a bigint across 2^53, so a safe result is the exact one; most integers take this path.
    const near = Number(value);
    if (near >= 0 && near <= Number.MAX_SAFE_INTEGER) this.writeHead(MAJOR.unsigned, near);
    else if (near < 0 && near >= -Number.MAX_SAFE_INTEGER) this.writeHead(MAJOR.negative, -1 - near);
    else this.#writeInteger64(value);
  }

  #writeInteger64(value: bigint): void {
    if (value !== BigInt.asIntN(64, value)) {
      throw new RangeError(`Cannot encode "${value}": not a 64-bit integer`);
    }
    this.reserve(MAX_HEAD_BYTES);
    this.bytes[this.length] = value < 0n ? MAJOR.negative << 5 | 27 : 27;
    this.view.setBigUint64(this.length + 1, value < 0n ? -1n - value : value);
    this.length += MAX_HEAD_BYTES;
  }

  /** A REAL, always as a 64-bit float, for the receiver must not take 1.0 for an integer. NaN is NULL, as in SQLite. */
  writeReal(value: number): void {
    this.reserve(MAX_HEAD_BYTES);
    if (value !== value) {
      this.bytes[this.length++] = NULL;
      return;
    }
    this.bytes[this.length] = FLOAT64;
    this.view.setFloat64(this.length + 1, value);
    this.length += MAX_HEAD_BYTES;
  }

  /** A text string; a lone surrogate becomes U+FFFD, as UTF-8 cannot hold it. */
  writeText(value: string): void {
    if (value.length > SHORT_TEXT_CHARS || !this.#writeShortAscii(value)) this.#writeAnyText(value);
  }

  /** False, and nothing written, when the text is not ASCII. */
  #writeShortAscii(value: string): boolean {
    const start = this.length;
    const count = value.length;
    this.writeHead(MAJOR.text, count);
    this.reserve(count);
    const bytes = this.bytes;
    let position = this.length;
    for (let index = 0; index < count; index++) {
      const code = value.charCodeAt(index);
      if (code > 0x7f) {
        this.length = start;
        return false;
      }
      bytes[position++] = code;
    }
    this.length = position;
    return true;
  }

  /** Writes the text where it belongs if it is ASCII, and moves it when its head turns out to be longer than that. */
  #writeAnyText(value: string): void {
    const start = this.length;
    const guess = start + headBytes(value.length);
    const atMost = value.length > LONG_TEXT_CHARS ? Buffer.byteLength(value) : value.length * MAX_UTF8_BYTES;
    this.reserve(atMost + MAX_HEAD_BYTES);
    const { written } = textEncoder.encodeInto(value, this.bytes.subarray(guess));
    const place = start + headBytes(written);
    if (place !== guess) this.bytes.copyWithin(place, guess, guess + written);
    this.writeHead(MAJOR.text, written);
    this.length = place + written;
  }

  /** A byte string. */
  writeBytes(value: Uint8Array): void {
    this.writeHead(MAJOR.bytes, value.length);
    if (value.length > SHORT_COPY_BYTES) return this.writeEncoded(value);
    this.reserve(value.length);
    const { bytes, length } = this;
    for (let index = 0; index < value.length; index++) bytes[length + index] = value[index] as number;
    this.length = length + value.length;
  }

  /** One SQLite value. */
  writeValue(value: SqlValue): void {
    if (typeof value === "string") this.writeText(value);
    else if (typeof value === "bigint") this.writeInteger(value);
    else if (typeof value === "number") this.writeReal(value);
    else if (value === null) this.writeByte(NULL);
    else if (value instanceof RawText) this.#writeRawText(value);
    else this.writeBytes(value);
  }

  #writeRawText(value: RawText): void {
    this.writeHead(MAJOR.tag, TAG_RAW_TEXT);
    this.writeBytes(value.bytes);
  }
}

/** Size of the head that {@link CborWriter.writeHead} writes. */
function headBytes(argument: number): number {
  if (argument < 24) return 1;
  if (argument < 0x100) return 2;
  if (argument < 0x10000) return 3;
  return argument < 0x100000000 ? 5 : MAX_HEAD_BYTES;
}
