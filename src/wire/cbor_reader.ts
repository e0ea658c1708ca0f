import { Buffer, isUtf8 } from "node:buffer";
import { WireError } from "../lib/errors.ts";
import {
  FALSE,
  FLOAT16,
  FLOAT32,
  FLOAT64,
  MAJOR,
  MAX_HEAD_BYTES,
  NULL,
  TAG_GO_TIME,
  TAG_RAW_TEXT,
  TRUE,
  UNDEFINED,
} from "./cbor_format.ts";
import { RawText, type SqlValue } from "./event.ts";

/** Up to this many bytes a loop in JavaScript beats a call of `isUtf8` (measured on Deno 2.9.6). */
const SHORT_TEXT_BYTES = 192;
/** Containers and tags nested deeper than this are refused where an unknown value is skipped. */
const MAX_DEPTH = 8;
/** The largest argument that would have fitted into the next shorter form, for the forms of 1, 2, 4 and 8 bytes. */
const LARGEST_SHORTER = [23, 0xff, 0xffff, 0xffffffff] as const;
/** 0000-01-01 00:00:00 and 9999-12-31 23:59:59, the range of SQLite's date functions. */
const EARLIEST_SECONDS = -62_167_219_200;
const LATEST_SECONDS = 253_402_300_799;

/** The bytes end before the item does: more of them may follow in the next part of a batch. */
export class TruncatedError extends WireError {
  override name = "TruncatedError";

  /** @param needed how many bytes of input it takes to get past this point */
  constructor(readonly needed: number) {
    super(`Cannot decode message: it ends before byte ${needed}`);
  }
}

/**
 * Reads items from bytes that anybody may have made up: whatever is wrong with them is a {@link WireError},
 * and no allocation is larger than the bytes that are really there.
 */
export class CborReader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the next item starts. */
  position = 0;
  /** Cleared when a value is met in a form that {@link CborWriter} would not have chosen. */
  canonical = true;
  readonly #text: Buffer;
  /** @param bytes must not change afterwards: byte strings are views of it */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#text = Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.position === this.bytes.length;
  }

  /** What to throw when the bytes at `position` are not what they should be. */
  error(reason: string, position: number = this.position): WireError {
    return new WireError(`Cannot decode message: ${reason} at byte ${position}`);
  }

  /** The first byte of the next item, which stays unread. */
  peek(): number {
    return this.bytes[this.position] ?? this.#truncated(1);
  }

  /** Passes over the given bytes if they come next. */
  skipIf(expected: Uint8Array): boolean {
    const { bytes, position } = this;
    const length = expected.length;
    if (position + length > bytes.length) return false;
    for (let index = 0; index < length; index++) {
      if (bytes[position + index] !== expected[index]) return false;
    }
    this.position = position + length;
    return true;
  }

  /** The argument of an item of this major type: a count or a length, 0 … 2^53 − 1, always definite. */
  readHead(major: number, what: string): number {
    const first = this.peek();
    if (first >> 5 !== major) throw this.error(`${what} expected, found 0x${first.toString(16)}`);
    return this.#readArgument();
  }

  /** Reads the first byte of an item and its argument; what exceeds 2^53 − 1 is refused. */
  #readArgument(): number {
    const { bytes, position } = this;
    const info = (bytes[position] as number) & 31;
    if (info < 24) {
      this.position = position + 1;
      return info;
    }
    return this.#readLongArgument(info);
  }

  #readLongArgument(info: number): number {
    const start = this.position;
    if (info > 27) throw this.error("definite length expected");
    const size = 1 << info - 24;
    this.#require(1 + size);
    this.position = start + 1 + size;
    const argument = this.#readUnsigned(start + 1, info);
    if (argument > Number.MAX_SAFE_INTEGER) throw this.error("length beyond all limits", start);
    return argument;
  }

  /** The big-endian number after a first byte with this additional information; beyond 2^53 it is rounded. */
  #readUnsigned(at: number, info: number): number {
    const view = this.view;
    let argument: number;
    if (info === 24) argument = view.getUint8(at);
    else if (info === 25) argument = view.getUint16(at);
    else if (info === 26) argument = view.getUint32(at);
    else argument = view.getUint32(at) * 0x100000000 + view.getUint32(at + 4);
    if (argument <= (LARGEST_SHORTER[info - 24] as number)) this.canonical = false;
    return argument;
  }

  /** An integer of 64 bits with its sign. */
  readInteger(what: string): bigint {
    const first = this.peek();
    if (first > 0x3b) throw this.error(`${what} expected, found 0x${first.toString(16)}`);
    if ((first & 31) === 27) return this.#readInteger64(first);
    const argument = this.#readArgument();
    return BigInt(first < 0x20 ? argument : -1 - argument);
  }

  #readInteger64(first: number): bigint {
    this.#require(MAX_HEAD_BYTES);
    const argument = this.view.getBigUint64(this.position + 1);
    if (argument > 0x7fff_ffff_ffff_ffffn) throw this.error("integer beyond 64 bits");
    if (argument <= 0xffff_ffffn) this.canonical = false;
    this.position += MAX_HEAD_BYTES;
    return first < 0x20 ? argument : -1n - argument;
  }

  /** A text string of valid UTF-8. */
  readText(what: string): string {
    const length = this.readHead(MAJOR.text, what);
    this.#require(length);
    const start = this.position;
    const end = start + length;
    const text = this.#decodeText(start, end);
    this.position = end;
    return text;
  }

  #decodeText(start: number, end: number): string {
    if (end - start <= SHORT_TEXT_BYTES && this.#isAscii(start, end)) {
      return this.#text.toString("latin1", start, end);
    }
    if (!isUtf8(this.bytes.subarray(start, end))) throw this.error("text that is not UTF-8", start);
    try {
      return this.#text.toString("utf8", start, end);
    } catch (cause) {
      throw new WireError(`Cannot decode message: text of ${end - start} bytes is too long`, { cause });
    }
  }

  #isAscii(start: number, end: number): boolean {
    const { bytes, view } = this;
    let position = start;
    let seen = 0;
    for (; position + 4 <= end; position += 4) seen |= view.getInt32(position);
    for (; position < end; position++) seen |= bytes[position] as number;
    return (seen & 0x80808080) === 0;
  }

  /** A byte string: a view of the input, as an array of its own would cost more than all the rest of a row (0.3 µs, measured). */
  readBytes(what: string): Uint8Array {
    const length = this.readHead(MAJOR.bytes, what);
    this.#require(length);
    const start = this.position;
    this.position = start + length;
    return this.bytes.subarray(start, start + length);
  }

  /** One SQLite value. */
  readValue(): SqlValue {
    const first = this.peek();
    switch (first >> 5) {
      case MAJOR.unsigned:
      case MAJOR.negative:
        return this.readInteger("value");
      case MAJOR.bytes:
        return this.readBytes("value");
      case MAJOR.text:
        return this.readText("value");
      case MAJOR.tag:
        return this.#readTagged();
      case MAJOR.simple:
        return this.#readSimple(first);
      default:
        throw this.error("a value of a column cannot be an array or a map,");
    }
  }

  #readSimple(first: number): SqlValue {
    if (first === NULL) {
      this.position++;
      return null;
    }
    if (first === FLOAT64) return this.#readFloat64();
    this.canonical = false;
    switch (first) {
      case FLOAT16:
        return this.#readFloat16();
      case FLOAT32:
        return this.#readFloat32();
      case UNDEFINED:
        this.position++;
        return null;
      case TRUE: // the Go original reads BOOLEAN columns into a bool; SQLite has only 1 and 0
      case FALSE:
        this.position++;
        return first === TRUE ? 1n : 0n;
      default:
        throw this.error(`unknown simple value 0x${first.toString(16)}`);
    }
  }

  #readFloat64(): number | null {
    this.#require(MAX_HEAD_BYTES);
    const value = this.view.getFloat64(this.position + 1);
    this.position += MAX_HEAD_BYTES;
    return this.#realOrNull(value);
  }

  #readFloat32(): number | null {
    this.#require(5);
    const value = this.view.getFloat32(this.position + 1);
    this.position += 5;
    return this.#realOrNull(value);
  }

  /** The Go original sends infinities in this form. */
  #readFloat16(): number | null {
    this.#require(3);
    const value = this.view.getFloat16(this.position + 1);
    this.position += 3;
    return this.#realOrNull(value);
  }

  /** SQLite has no NaN: it stores NULL. */
  #realOrNull(value: number): number | null {
    if (value === value) return value;
    this.canonical = false;
    return null;
  }

  #readTagged(): SqlValue {
    const start = this.position;
    const tag = this.readHead(MAJOR.tag, "tag");
    if (tag === TAG_RAW_TEXT) return new RawText(this.readBytes("bytes of raw text"));
    if (tag === TAG_GO_TIME) return this.#readGoTime();
    throw this.error(`unknown tag ${tag}`, start);
  }

  /** The Go original lost how the date was spelled, so it becomes text as SQLite's `datetime()` writes it, in UTC. */
  #readGoTime(): string | null {
    this.canonical = false;
    const entries = this.readHead(MAJOR.map, "time");
    if (entries !== 1 || this.readInteger("key of time") !== 1n) throw this.error("unknown form of time");
    if (this.peek() === NULL) {
      this.position++;
      return null;
    }
    const seconds = Number(this.readInteger("seconds"));
    if (seconds < EARLIEST_SECONDS || seconds > LATEST_SECONDS) throw this.error("time out of range");
    return new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
  }

  /** Passes over one item of any kind with definite lengths. */
  skipItem(depth = 0): void {
    if (depth > MAX_DEPTH) throw this.error("nesting beyond all limits");
    const first = this.peek();
    const major = first >> 5;
    if (major === MAJOR.simple) return this.#skipSimple(first);
    if (major <= MAJOR.negative) return this.#skip((first & 31) < 24 ? 1 : 1 + this.#argumentSize(first));
    const argument = this.#readArgument();
    if (major === MAJOR.bytes || major === MAJOR.text) return this.#skip(argument);
    const items = major === MAJOR.tag ? 1 : major === MAJOR.map ? argument * 2 : argument;
    // Each item takes a byte at least, so a count that cannot be true ends at the end of the input.
    for (let index = 0; index < items; index++) this.skipItem(depth + 1);
  }

  #skipSimple(first: number): void {
    const info = first & 31;
    this.#skip(info < 24 ? 1 : 1 + this.#argumentSize(first));
  }

  #argumentSize(first: number): number {
    const info = first & 31;
    if (info > 27) throw this.error("definite length expected");
    return 1 << info - 24;
  }

  #skip(count: number): void {
    this.#require(count);
    this.position += count;
  }

  #require(count: number): void {
    if (this.position + count > this.bytes.length) this.#truncated(count);
  }

  #truncated(count: number): never {
    throw new TruncatedError(this.position + count);
  }
}
