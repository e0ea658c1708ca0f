import { type Judge, StoreError, toStoreError } from "./store_error.ts";

/** How long a store may keep us waiting. */
export interface StoreLimits {
  /** Until a connection stands and has let us in. */
  readonly connectMs: number;
  /** Without a byte in either direction. */
  readonly stallMs: number;
  /** For what the store does by itself: to put an uploaded object together, to copy one. */
  readonly finishMs: number;
  /** A line slower than this is taken for a stalled one, where nothing is heard before a whole part has arrived. */
  readonly slowestBytesPerSecond: number;
}

export const STORE_LIMITS: StoreLimits = {
  connectMs: 15_000,
  stallMs: 60_000,
  finishMs: 600_000,
  slowestBytesPerSecond: 64 << 10,
};

export interface TransferOptions {
  /** `Cannot put "x" in folder "y"`. */
  readonly action: string;
  readonly judge: Judge;
  readonly limits: StoreLimits;
  readonly signal: AbortSignal;
  /** The client library takes fresh memory for what passes through it. */
  readonly leavesGarbage?: boolean;
}

/** So much may pass before the garbage collector is told to look … */
const UNCOLLECTED_BYTES = 4 << 20;
/** … which it does when so much was asked for: its own limit. */
const COLLECTOR_LIMIT_BYTES = 64 << 20;

/**
 * One operation on a store: ends it when it is aborted or stalls, and turns its failures into StoreErrors.
 *
 * The time that the other side of a stream takes does not count: who reads slowly, or makes content slowly, may.
 */
export class Transfer implements Disposable {
  readonly #options: TransferOptions;
  readonly #stalled = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #uncollected = 0;
  #sourceFailure: { readonly error: unknown } | undefined;
  /** Aborted when the caller loses interest and when the store stalls. */
  readonly signal: AbortSignal;

  constructor(options: TransferOptions) {
    this.#options = options;
    this.signal = AbortSignal.any([options.signal, this.#stalled.signal]);
  }

  get action(): string {
    return this.#options.action;
  }

  /** Runs an operation, or the part of it that comes before content is read. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    try {
      this.#options.signal.throwIfAborted();
      this.expect(this.#options.limits.stallMs);
      return await work();
    } catch (error) {
      throw this.#explain(error);
    } finally {
      this[Symbol.dispose]();
    }
  }

  /** The store has to do something within this time, from now on. */
  expect(limitMs: number): void {
    this.#rest();
    this.#timer = setTimeout(() => this.#stalled.abort(stalled(this.#options.action, limitMs)), limitMs);
  }

  /** Likewise, while so many bytes are on their way of which nothing is heard until they are there. */
  expectBytes(bytes: number): void {
    const { stallMs, slowestBytesPerSecond } = this.#options.limits;
    this.expect(stallMs + 1000 * bytes / slowestBytesPerSecond);
  }

  /** What the store is to be given: `content`, which must have `size` bytes. */
  async *outgoing(content: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
    const { action, limits } = this.#options;
    let sent = 0;
    this.#rest();
    for await (const chunk of this.#source(content)) {
      sent += chunk.length;
      if (sent > size) throw wrongSize(action, size, `more than ${size}`);
      this.expect(limits.stallMs);
      this.#collectGarbage(chunk.length);
      yield chunk;
      this.#rest();
    }
    if (sent < size) throw wrongSize(action, size, String(sent));
    this.expect(limits.finishMs);
  }

  /** What the store gives, which must have `size` bytes. */
  async *incoming(content: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
    const { action, limits } = this.#options;
    let received = 0;
    try {
      this.#options.signal.throwIfAborted();
      this.expect(limits.stallMs);
      for await (const chunk of abortable(content, this.signal)) {
        received += chunk.length;
        this.#collectGarbage(chunk.length);
        this.#rest();
        if (chunk.length > 0) yield chunk;
        this.expect(limits.stallMs);
      }
      if (received !== size) throw truncated(action, size, received);
    } catch (error) {
      throw this.#explain(error);
    } finally {
      this[Symbol.dispose]();
    }
  }

  [Symbol.dispose](): void {
    this.#rest();
  }

  #rest(): void {
    clearTimeout(this.#timer);
  }

  /**
   * V8 collects when 64 MB of buffers were asked for since the last time, and by then it is behind: a transfer holds 100 to
   * 150 MB. There is no way to ask it from inside, but memory that is asked for counts, and unless it is touched costs nothing.
   * 2 GB from SFTP: 160 in place of 218 MB resident.
   */
  #collectGarbage(passedBytes: number): void {
    if (!this.#options.leavesGarbage) return;
    this.#uncollected += passedBytes;
    if (this.#uncollected < UNCOLLECTED_BYTES) return;
    this.#uncollected = 0;
    new ArrayBuffer(COLLECTOR_LIMIT_BYTES);
  }

  /** Its errors are its own: the caller gets them as they are. */
  async *#source(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* abortable(content, this.signal);
    } catch (error) {
      this.#sourceFailure = { error };
      throw error;
    }
  }

  #explain(error: unknown): unknown {
    const { action, judge, signal } = this.#options;
    if (signal.aborted) return signal.reason;
    if (this.#stalled.signal.aborted) return this.#stalled.signal.reason;
    if (this.#sourceFailure !== undefined) return this.#sourceFailure.error;
    return toStoreError(action, error, judge);
  }
}

/** Iterates until the signal is aborted, then throws its reason, even when the next item never comes. */
async function* abortable<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => undefined);
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  let ended = false;
  try {
    for (;;) {
      signal.throwIfAborted();
      const next = await Promise.race([iterator.next(), aborted.promise]).catch((error) => {
        ended = !signal.aborted;
        throw error;
      });
      ended = next.done === true;
      if (next.done) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Not waited for when aborted: a generator that hangs answers only when it gets its next item.
    const returned = ended ? undefined : iterator.return?.();
    if (signal.aborted) void returned?.catch(() => undefined);
    else await returned;
  }
}

/**
 * Cuts content anew into pieces of equal size; the last one may be shorter. Pieces that were given back are used again:
 * fresh ones would pile up by the hundred megabytes before the garbage collector looks at them.
 */
export class PieceCutter {
  readonly #bytes: number;
  readonly #free: Uint8Array[] = [];

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  async *cut(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let piece = this.#take();
    let filled = 0;
    for await (const chunk of content) {
      for (let start = 0; start < chunk.length;) {
        const part = chunk.subarray(start, start + this.#bytes - filled);
        piece.set(part, filled);
        filled += part.length;
        start += part.length;
        if (filled < this.#bytes) continue;
        yield piece;
        piece = this.#take();
        filled = 0;
      }
    }
    if (filled > 0) yield piece.subarray(0, filled);
  }

  /** Nobody looks at this piece any more. */
  giveBack(piece: Uint8Array): void {
    if (piece.length === this.#bytes) this.#free.push(piece);
  }

  #take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(this.#bytes);
  }
}

const READ_BYTES = 256 << 10;

/** What a web server answers, through one buffer: each chunk is gone when the next is asked for. */
export async function* readBody(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader({ mode: "byob" });
  let buffer = new ArrayBuffer(READ_BYTES);
  try {
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(buffer));
      if (done) return;
      yield value;
      buffer = value.buffer;
    }
  } finally {
    // Nothing to do when it has ended; else the connection is of no more use.
    await reader.cancel().catch(() => undefined);
  }
}

function stalled(action: string, limitMs: number): StoreError {
  return new StoreError("STALLED", `${action}: nothing happened for ${limitMs / 1000} s`, {
    transient: true,
    hint: "The store or the network hangs; the next attempt follows.",
  });
}

function truncated(action: string, size: number, received: number): StoreError {
  return new StoreError("TRUNCATED", `${action}: it ended after ${received} of ${size} bytes`, {
    transient: true,
    hint: "The connection was cut, or the object is damaged in the store; then take another snapshot.",
  });
}

function wrongSize(action: string, size: number, actual: string): StoreError {
  return new StoreError("WRONG_SIZE", `${action}: its content has ${actual} bytes instead of ${size}`, {
    transient: false,
  });
}
