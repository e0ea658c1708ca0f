/**
 * Batches: how the changes of whole transactions are cut into messages, and put together again.
 *
 * A batch that fits into one message travels without any mark. A larger one travels as parts, each marked with the
 * batch's name and with `k/n`; the parts' contents, one after the other, are one CBOR sequence.
 */

import { createHash, type Hash } from "node:crypto";
import { WireError } from "../lib/errors.ts";
import { release } from "../lib/memory.ts";
import { CborWriter } from "./cbor.ts";
import { EventDecoder, writeEvent } from "./codec.ts";
import { compress, decompress, isCompressed, MAX_MESSAGE_BYTES } from "./compression.ts";
import type { ChangeEvent, ChangeType, SqlValue } from "./event.ts";
import type { EventShape } from "./shape.ts";

/** More parts than this are refused by sender and receiver. */
export const MAX_PARTS = 100_000;

/** Largest event that is put together from parts: SQLite's default limit of a row is 10^9 bytes. */
export const MAX_EVENT_BYTES = 1 << 30;

/**
 * A message takes no further event when it holds as many bytes. What is smaller is garbage sooner, before V8 moves it to
 * where only a full collection finds it: nodes take 40 MB less than with messages of 1 MB, and are not slower (measured).
 */
const FULL_MESSAGE_BYTES = 128 * 1024;

const BATCH_HASH_CHARS = 16;
const MESSAGE_HASH_CHARS = 32;
const MAX_INT64 = 0x7fff_ffff_ffff_ffffn;
const BATCH_NAME = /^([1-9]\d{0,18})-([1-9]\d{0,18})-([1-9]\d{0,18})-([1-9]\d{0,5})-([0-9a-f]{16})$/;
const PART = /^([1-9]\d{0,5})\/([1-9]\d{0,5})$/;

/** One message of a batch. */
export interface BatchPart {
  /** What the message holds, compressed if that was asked for; see {@link KeepContent}. */
  readonly data: Uint8Array;
  /** Length of {@link data}. */
  readonly bytes: number;
  /** The header fields to send along: both for a part, neither for a message that is a batch of its own. */
  readonly batch: string | undefined;
  readonly part: string | undefined;
}

/** Changes that take effect together, ready to be sent. */
export interface Batch {
  readonly parts: readonly BatchPart[];
  /** `<node>-<first ts>-<last ts>-<parts>-<hash of contents and cuts>`; undefined for a single message. */
  readonly name: string | undefined;
  readonly firstTs: bigint;
  readonly lastTs: bigint;
  /** How many events it holds. */
  readonly count: number;
}

export interface BatchLimits {
  /** Events in one message, 1 or more. */
  readonly maxBatch: number;
  /** Bytes in one message before compression; leave room for headers and for a frame around what does not compress. */
  readonly maxMessageBytes: number;
  readonly compress: boolean;
}

/** Puts the content of a part somewhere, as its own, and returns how to get it back: a batch may be larger than memory. */
export type KeepContent = (data: Uint8Array) => () => Uint8Array;

/** Content of a part that is complete. */
interface KeptPart {
  readonly bytes: number;
  readonly load: () => Uint8Array;
}

/**
 * Encodes events and cuts them into messages: between two events wherever possible, and through an event only when it
 * exceeds a message by itself. The same events under the same limits always become the same batch.
 * A writer is used again after {@link finish} and keeps its memory.
 */
export class BatchWriter {
  readonly #node: bigint;
  readonly #limits: BatchLimits;
  readonly #keepContent: KeepContent;
  readonly #writer = new CborWriter(64 * 1024);
  #kept: KeptPart[] = [];
  #contents: Hash | undefined;
  /** Events in the message that is being filled. */
  #events = 0;
  #count = 0;
  #firstTs = 0n;
  #lastTs = 0n;

  constructor(node: bigint, limits: BatchLimits, keepContent: KeepContent = (data) => () => data) {
    if (limits.maxBatch < 1 || limits.maxMessageBytes < 1) {
      throw new RangeError("Cannot batch: limit below 1");
    }
    this.#node = node;
    this.#limits = limits;
    this.#keepContent = keepContent;
  }

  /** How many events were added since the last {@link finish}. */
  get count(): number {
    return this.#count;
  }

  /** How many parts are complete: a batch of more than {@link MAX_PARTS} is refused by {@link finish}. */
  get closedParts(): number {
    return this.#kept.length;
  }

  /**
   * Adds one event, and returns its content hash.
   *
   * @param values in the order of `shape.columns`
   * @param node who made it, if that is not who sends it
   */
  add(
    shape: EventShape,
    type: ChangeType,
    id: bigint,
    ts: bigint,
    values: readonly SqlValue[],
    node = this.#node,
  ): number {
    const { maxBatch, maxMessageBytes } = this.#limits;
    const writer = this.#writer;
    const isFull = this.#events >= maxBatch || (this.#events > 0 && writer.length >= FULL_MESSAGE_BYTES);
    if (isFull) this.#close(writer.length);
    const start = writer.length;
    const hash = writeEvent(writer, shape, node, type, id, ts, values);
    if (writer.length > maxMessageBytes && start > 0) this.#close(start);
    if (writer.length > maxMessageBytes) this.#slice(maxMessageBytes);
    this.#events++;
    this.#count++;
    this.#cover(ts);
    return hash;
  }

  /** Everything added since the last time, which was one event at least. */
  finish(): Batch {
    if (this.#count === 0) throw new RangeError("Cannot finish batch: it is empty");
    // A single message needs no name, so nothing is hashed for it.
    this.#close(this.#writer.length, this.#kept.length > 0);
    const name = this.#name();
    const parts = this.#kept.map(({ bytes, load }, index, { length }) => ({
      get data(): Uint8Array {
        return load();
      },
      bytes,
      batch: name,
      part: name === undefined ? undefined : `${index + 1}/${length}`,
    }));
    const batch = { parts, name, firstTs: this.#firstTs, lastTs: this.#lastTs, count: this.#count };
    this.#reset();
    return batch;
  }

  /** A victim of REPLACE has a `ts` below its neighbours', so order alone does not tell the range. */
  #cover(ts: bigint): void {
    if (this.#count === 1 || ts < this.#firstTs) this.#firstTs = ts;
    if (this.#count === 1 || ts > this.#lastTs) this.#lastTs = ts;
  }

  /** Makes the first bytes written a message of their own. */
  #close(length: number, named = true): void {
    this.#keep(0, length, named);
    this.#writer.discard(length);
    this.#events = 0;
  }

  /** Cuts off whole messages and leaves the rest, which the next events may join. It is moved once, however long it was. */
  #slice(maxMessageBytes: number): void {
    let start = 0;
    for (; this.#writer.length - start > maxMessageBytes; start += maxMessageBytes) {
      this.#keep(start, start + maxMessageBytes, true);
    }
    this.#writer.discard(start);
  }

  #keep(start: number, end: number, named: boolean): void {
    if (this.#kept.length === MAX_PARTS) {
      throw new RangeError(`Cannot cut batch: it has more than ${MAX_PARTS} parts`);
    }
    const content = this.#writer.bytes.subarray(start, end);
    if (named) this.#hashContent(content);
    // A piece that starts in the middle of a BLOB may look like a frame; inside a real one nobody takes it for that.
    const framed = this.#limits.compress || isCompressed(content);
    const data = framed ? compress(content) : content.slice();
    const bytes = data.length;
    this.#kept.push({ bytes, load: this.#keepContent(data) });
  }

  /** Contents are hashed before compression: another release of zstd must not make another batch of the same changes. */
  #hashContent(content: Uint8Array): void {
    this.#contents ??= createHash("sha256");
    hashPart(this.#contents, content);
  }

  #name(): string | undefined {
    if (this.#contents === undefined) return undefined;
    const hash = batchHash(this.#contents);
    return `${this.#node}-${this.#firstTs}-${this.#lastTs}-${this.#kept.length}-${hash}`;
  }

  #reset(): void {
    this.#writer.clear();
    this.#kept = [];
    this.#contents = undefined;
    this.#events = 0;
    this.#count = 0;
  }
}

function hashPart(contents: Hash, content: Uint8Array): void {
  contents.update(`${content.length}:`).update(content);
}

function batchHash(contents: Hash): string {
  return contents.digest("hex").slice(0, BATCH_HASH_CHARS);
}

/**
 * The id under which a message is stored once: its sender and a hash of all that is in it. A retry has the same id;
 * the same changes cut differently after a crash have others, or JetStream would drop them as duplicates.
 */
export function messageId(node: bigint, headers: ReadonlyMap<string, string>, data: Uint8Array): string {
  const hash = createHash("sha256");
  const fields = [...headers].sort(([a], [b]) => a < b ? -1 : 1);
  hash.update(JSON.stringify(fields)).update(data);
  return `${node}-${hash.digest("hex").slice(0, MESSAGE_HASH_CHARS)}`;
}

/** What the name of a batch says. */
export interface BatchName {
  readonly node: bigint;
  readonly firstTs: bigint;
  readonly lastTs: bigint;
  readonly parts: number;
  readonly hash: string;
}

/** Reads the `batch` header; anything but a name that {@link BatchWriter} could have given is a WireError. */
export function parseBatchName(text: string): BatchName {
  const fields = BATCH_NAME.exec(text)?.slice(1) as [string, string, string, string, string] | undefined;
  if (fields === undefined) throw new WireError(`Cannot read batch name "${shortened(text)}": unknown form`);
  const [node, firstTs, lastTs] = [BigInt(fields[0]), BigInt(fields[1]), BigInt(fields[2])];
  const parts = Number(fields[3]);
  if (node > MAX_INT64 || lastTs > MAX_INT64 || firstTs > lastTs || parts < 2 || parts > MAX_PARTS) {
    throw new WireError(`Cannot read batch name "${text}": value out of range`);
  }
  return { node, firstTs, lastTs, parts, hash: fields[4] };
}

/** Which part of how many. */
export interface PartNumber {
  /** From 1. */
  readonly index: number;
  readonly count: number;
}

/** Reads the `part` header, `k/n`; WireError unless 1 ≤ k ≤ n, 2 ≤ n ≤ {@link MAX_PARTS}. */
export function parsePart(text: string): PartNumber {
  const fields = PART.exec(text);
  const [index, count] = [Number(fields?.[1]), Number(fields?.[2])];
  if (!(index <= count && count >= 2 && count <= MAX_PARTS)) {
    throw new WireError(
      `Cannot read part number "${shortened(text)}": 1/2 to ${MAX_PARTS}/${MAX_PARTS} expected`,
    );
  }
  return { index, count };
}

/**
 * Decodes the parts of one batch in order of their number, and yields some events at a time, so that only one part and an
 * event that was cut have to be in memory. Throws a WireError for anything malformed, which may be after the first events
 * were yielded: apply them in a transaction.
 *
 * @param parts contents of the messages, compressed or not; they must not change afterwards, as BLOBs may be views of them
 * @param name of the batch that they are to be; its hash is compared at the end
 */
export function* decodeParts(
  parts: Iterable<Uint8Array>,
  decoder: EventDecoder = new EventDecoder(),
  name?: BatchName,
): Generator<ChangeEvent[], void, undefined> {
  const contents = name && createHash("sha256");
  const cut = new CutEvent();
  let due = 0;
  for (const part of parts) {
    let bytes = decompress(part, MAX_MESSAGE_BYTES);
    if (contents) hashPart(contents, bytes);
    if (cut.size > 0) {
      cut.append(bytes, due);
      if (bytes !== part) release(bytes);
      if (cut.size < due) continue;
      bytes = cut.bytes;
    }
    const { consumed, needed } = yield* decoder.decodePrefix(bytes);
    if (consumed > 0 || cut.size === 0) cut.begin(bytes.subarray(consumed));
    due = Math.max(needed - consumed, cut.size * RETRY_GROWTH);
  }
  if (cut.size > 0) yield decoder.decode(cut.bytes);
  if (contents && batchHash(contents) !== name.hash) {
    throw new WireError("Cannot decode batch: its parts are not those that it is named after");
  }
}

/** A cut event is tried again when it may be whole and has grown by this: else its time would grow with its parts' square. */
const RETRY_GROWTH = 1.25;
/** Memory that is set aside for an event which claims to be as long, before it has come. */
const MAX_TRUSTED_BYTES = 64 * 1024 * 1024;

/** The pieces of an event that was cut, put together as they come. */
class CutEvent {
  #memory: Uint8Array = new Uint8Array(0);
  #size = 0;

  /** 0 when there is none. */
  get size(): number {
    return this.#size;
  }

  /** A view of what has come. */
  get bytes(): Uint8Array {
    return this.#memory.subarray(0, this.#size);
  }

  /** Starts with the first piece; none when it is empty. Never writes over the one before: events may be views of that. */
  begin(piece: Uint8Array): void {
    this.#memory = piece;
    this.#size = piece.length;
  }

  /** @param expected how many bytes it takes at least to go on */
  append(piece: Uint8Array, expected: number): void {
    const size = this.#size + piece.length;
    if (size > MAX_EVENT_BYTES) {
      throw new WireError(`Cannot decode batch: an event exceeds ${MAX_EVENT_BYTES} bytes`);
    }
    if (size > this.#memory.length) {
      // Room for one piece more than expected: little comes after a large value.
      const trusted = Math.min(expected, Math.max(MAX_TRUSTED_BYTES, size * 2)) + piece.length;
      const memory = new Uint8Array(Math.max(size, trusted));
      memory.set(this.bytes);
      this.#memory = memory;
    }
    this.#memory.set(piece, this.#size);
    this.#size = size;
  }
}

/** Hostile text is shown, but not all of it. */
function shortened(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}
