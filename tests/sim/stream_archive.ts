import type { MemoryBroker } from "../../src/stream/memory_log.ts";
import type { LogMessage } from "../../src/stream/replication_log.ts";

/** All that the streams of a run ever held: what the nodes must hold in the end, whatever was truncated or created anew meanwhile. */
export class StreamArchive {
  readonly #broker: MemoryBroker;
  /** Messages that are gone from their stream, by stream with its creation and by sequence. */
  readonly #gone = new Map<string, Map<number, LogMessage>>();

  constructor(broker: MemoryBroker) {
    this.#broker = broker;
  }

  /** A stream loses its messages below `first`. */
  truncate(stream: string, first: number): void {
    this.#keep(stream, first);
    this.#broker.truncate(stream, first);
  }

  /** A stream is deleted and created anew. */
  recreate(stream: string): void {
    this.#keep(stream, Infinity);
    this.#broker.recreate(stream);
  }

  /** An older copy of a stream is put back: it ends with `last`, and may hold other messages from there on. */
  rollBack(stream: string, last: number): void {
    this.#broker.rollBack(stream, last);
  }

  /** A message of the stream as it was created then. */
  message(stream: string, created: string, sequence: number): LogMessage | undefined {
    const now = this.#broker.find(stream)!;
    const there = now.created === created ? now.messages.get(sequence) : undefined;
    return there ?? this.#gone.get(identity(stream, created))?.get(sequence);
  }

  /** Of the stream as it is now, in order of sequence. */
  messages(stream: string): LogMessage[] {
    const { created, messages } = this.#broker.find(stream)!;
    return [...this.#gone.get(identity(stream, created))?.values() ?? [], ...messages.values()];
  }

  #keep(stream: string, first: number): void {
    const { created, messages } = this.#broker.find(stream)!;
    const id = identity(stream, created);
    const gone = this.#gone.get(id) ?? new Map<number, LogMessage>();
    this.#gone.set(id, gone);
    for (const [sequence, message] of messages) {
      if (sequence < first) gone.set(sequence, message);
    }
  }
}

function identity(stream: string, created: string): string {
  return `${stream} ${created}`;
}
