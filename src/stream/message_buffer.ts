import type { LogMessage } from "./replication_log.ts";

/**
 * Messages that have arrived and were not handed on yet. It does not refuse any: its owner asks for no more than it
 * has room for, and hears through `onDrain` when there is room again.
 */
export class MessageBuffer {
  #messages: LogMessage[] = [];
  #count = 0;
  #bytes = 0;
  #end: { error?: unknown } | undefined;
  #wake: (() => void) | undefined;
  readonly #onDrain: () => void;

  constructor(onDrain: () => void) {
    this.#onDrain = onDrain;
  }

  /** Messages not handed on yet. */
  get count(): number {
    return this.#count;
  }

  /** Payload bytes not handed on yet. */
  get bytes(): number {
    return this.#bytes;
  }

  push(message: LogMessage): void {
    this.#messages.push(message);
    this.#count++;
    this.#bytes += message.data.length;
    this.#wake?.();
  }

  /** What is buffered is still handed on, then iteration rejects. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  /** Iteration ends at once; what is buffered is forgotten. */
  end(): void {
    this.#end = {};
    this.#messages = [];
    this.#wake?.();
  }

  /** Hands on what is there, one message at least; to be iterated once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<readonly LogMessage[]> {
    for (;;) {
      const taken = this.#messages;
      this.#messages = [];
      if (taken.length > 0) {
        yield taken;
        this.#count -= taken.length;
        this.#bytes -= taken.reduce((sum, { data }) => sum + data.length, 0);
        this.#onDrain();
        continue;
      }
      if (this.#end !== undefined && "error" in this.#end) throw this.#end.error;
      if (this.#end !== undefined) return;
      await new Promise<void>((resolve) => this.#wake = resolve);
      this.#wake = undefined;
    }
  }
}
