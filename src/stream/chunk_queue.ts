/**
 * Chunks that have arrived and were not handed on yet, in memory that is used again: fresh memory for each would pile up by the
 * gigabyte before the garbage collector looks at it. It does not refuse any: its owner asks for no more than there is room for.
 */
export class ChunkQueue {
  readonly #waiting: Uint8Array[] = [];
  readonly #free: ArrayBuffer[] = [];
  readonly #onDrain: () => void;
  #bytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(onDrain: () => void) {
    this.#onDrain = onDrain;
  }

  /** Bytes not handed on yet. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a copy. */
  push(chunk: Uint8Array): void {
    const found = this.#free.findIndex(({ byteLength }) => byteLength >= chunk.length);
    const [memory = new ArrayBuffer(chunk.length)] = found < 0 ? [] : this.#free.splice(found, 1);
    const copy = new Uint8Array(memory, 0, chunk.length);
    copy.set(chunk);
    this.#waiting.push(copy);
    this.#bytes += chunk.length;
    this.#wake?.();
  }

  /** What is there is still handed on, then iteration rejects. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
  }

  /** To be iterated once; a chunk is gone when the next is asked for. Ends by `fail` alone, or by who iterates. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#waiting.shift();
      if (chunk !== undefined) {
        yield chunk;
        this.#free.push(chunk.buffer as ArrayBuffer);
        this.#bytes -= chunk.length;
        this.#onDrain();
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      await new Promise<void>((resolve) => this.#wake = resolve);
      this.#wake = undefined;
    }
  }
}
