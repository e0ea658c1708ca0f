/**
 * zstd around a message. A message says itself whether it is compressed, by its first four bytes, which no event
 * can start with (a piece of an event can: then its sender compresses it). What {@link compress} returns is always a zstd frame, even when nothing gets smaller:
 * a node of the Go original that is set to compress expects a frame and nothing else.
 */

import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { messageOf, WireError } from "../lib/errors.ts";

/** Largest message that is unpacked. It is also the largest `max_payload` that a NATS server allows. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/**
 * Level 2: a message of 4096 rows takes 2.1 ms to pack and 0.8 ms to unpack and shrinks to a quarter. Level 1 packs in
 * 1.7 ms but unpacks in 1.3 ms, and every other node unpacks; level 3 packs in 2.6 ms and saves 3 % of the rest.
 * (Measured on Deno 2.9.6: four columns, English words, a blob of noise.)
 */
const OPTIONS = { params: { [constants.ZSTD_c_compressionLevel]: 2 } } as const;

/**
 * Below this size a frame is made by hand that holds the bytes as they are. Calling zstd costs 18 µs to pack and
 * 15 µs to unpack whatever the size, more than all the rest that such a message costs, and makes a message of one row
 * (230 bytes) no smaller: its names repeat nothing, and its hash is random. Two rows would shrink by a third, 150 bytes.
 */
const MIN_COMPRESSED_BYTES = 512;

/** Few messages shrink to less than one part in so many. */
const USUAL_RATIO = 64;
/** What zlib takes for a piece of its output by itself. */
const MIN_CHUNK_BYTES = 16 * 1024;

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd] as const;
/** Frame header descriptor: one segment, content size in two bytes, which count from 256 (RFC 8878, 3.1.1.1). */
const STORED_DESCRIPTOR_2 = 0x60;
/** The same with the content size in one byte. */
const STORED_DESCRIPTOR_1 = 0x20;
const BLOCK_HEADER_BYTES = 3;
const BLOCK_TYPE_RLE = 1;
const BLOCK_TYPE_RESERVED = 3;

/** One zstd frame with the bytes in it. */
export function compress(bytes: Uint8Array): Uint8Array {
  if (bytes.length < MIN_COMPRESSED_BYTES) return storedFrame(bytes);
  const packed = zstdCompressSync(bytes, OPTIONS);
  // Deno 2.9.6 appends an empty second frame when the first one just fills its buffer.
  return new Uint8Array(packed.buffer, packed.byteOffset, readFrame(packed).end);
}

/** Whether the bytes begin like a zstd frame. */
export function isCompressed(bytes: Uint8Array): boolean {
  return bytes.length >= MAGIC.length && MAGIC.every((byte, index) => bytes[index] === byte);
}

/**
 * The content of a zstd frame; bytes that do not begin like one are returned as they are.
 * A frame that is damaged, incomplete, followed by anything, or whose content exceeds `maxBytes`, is a WireError.
 */
export function decompress(bytes: Uint8Array, maxBytes: number = MAX_MESSAGE_BYTES): Uint8Array {
  if (!isCompressed(bytes)) return bytes.length <= maxBytes ? bytes : tooLarge(maxBytes);
  const frame = readFrame(bytes);
  if (frame.end !== bytes.length) throw damaged("frame does not end with the message");
  const size = frame.contentSize ?? 0;
  if (size > maxBytes) return tooLarge(maxBytes);
  return frame.stored ?? unpack(bytes, size, maxBytes);
}

/** `claimed`: the size that the frame's header gives, 0 for none. */
function unpack(bytes: Uint8Array, claimed: number, maxBytes: number): Uint8Array {
  // Room for all of it: else zlib collects pieces of 16 KB and joins them, which takes twice the memory. V8 lets some
  // 50 MB of such buffers lie about before it looks. Whoever claims too much gets pieces all the same.
  const room = Math.min(claimed, bytes.length * USUAL_RATIO) + 1;
  try {
    const options = { maxOutputLength: maxBytes, chunkSize: Math.max(room, MIN_CHUNK_BYTES) };
    const content = zstdDecompressSync(bytes, options);
    return new Uint8Array(content.buffer, content.byteOffset, content.byteLength);
  } catch (cause) {
    throw new WireError(`Cannot decompress message: ${messageOf(cause)}`, { cause });
  }
}

function tooLarge(maxBytes: number): never {
  throw new WireError(`Cannot decompress message: its content exceeds ${maxBytes} bytes`);
}

/** A frame of one raw block. */
function storedFrame(bytes: Uint8Array): Uint8Array {
  const size = bytes.length;
  const header = size < 256
    ? [...MAGIC, STORED_DESCRIPTOR_1, size]
    : [...MAGIC, STORED_DESCRIPTOR_2, size - 256 & 0xff, size - 256 >> 8];
  const frame = new Uint8Array(header.length + BLOCK_HEADER_BYTES + size);
  frame.set(header);
  const block = size << 3 | 1; // size, type 0 (raw), last block
  frame.set([block & 0xff, block >> 8 & 0xff, block >> 16], header.length);
  frame.set(bytes, header.length + BLOCK_HEADER_BYTES);
  return frame;
}

interface Frame {
  /** How many bytes it takes. */
  readonly end: number;
  /** As the header claims it; undefined when it claims nothing. */
  readonly contentSize: number | undefined;
  /** The content, if it lies in a single raw block. */
  readonly stored: Uint8Array | undefined;
}

/**
 * Walks over the blocks of a frame. zlib cannot be asked: given a frame that breaks off it returns what there is,
 * and it passes over whatever follows the first frame (Deno 2.9.6), so a torn message would look like a whole one.
 */
function readFrame(bytes: Uint8Array): Frame {
  const header = readFrameHeader(bytes);
  let position = header.end;
  for (let blocks = 1;; blocks++) {
    const block = littleEndian(bytes, position, BLOCK_HEADER_BYTES);
    const type = block >> 1 & 3;
    if (type === BLOCK_TYPE_RESERVED) throw damaged("unknown type of block");
    const start = position + BLOCK_HEADER_BYTES;
    position = start + (type === BLOCK_TYPE_RLE ? 1 : block >> 3);
    if ((block & 1) === 0) continue;
    const isStored = blocks === 1 && type === 0 && header.contentSize === position - start;
    return {
      end: position + header.checksumBytes,
      contentSize: header.contentSize,
      stored: isStored ? bytes.slice(start, position) : undefined,
    };
  }
}

interface FrameHeader {
  readonly end: number;
  readonly contentSize: number | undefined;
  readonly checksumBytes: 0 | 4;
}

/** RFC 8878, section 3.1.1.1. */
function readFrameHeader(bytes: Uint8Array): FrameHeader {
  const descriptor = littleEndian(bytes, MAGIC.length, 1);
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] as number;
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
  const sizeStart = MAGIC.length + 1 + (singleSegment ? 0 : 1) + dictionaryBytes;
  const contentSize = littleEndian(bytes, sizeStart, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  return {
    end: sizeStart + sizeBytes,
    contentSize: sizeBytes === 0 ? undefined : contentSize,
    checksumBytes: (descriptor & 4) === 0 ? 0 : 4,
  };
}

function littleEndian(bytes: Uint8Array, start: number, count: number): number {
  if (start + count > bytes.length) throw damaged("frame breaks off");
  let value = 0;
  for (let index = count - 1; index >= 0; index--) value = value * 256 + (bytes[start + index] as number);
  return value;
}

function damaged(reason: string): WireError {
  return new WireError(`Cannot decompress message: ${reason}`);
}
