import type { MemoryBroker } from "../../src/stream/memory_log.ts";
import type { LogMessage } from "../../src/stream/replication_log.ts";

/** All that the streams of a run ever held: what the nodes must hold in the end, whatever was truncated meanwhile. */
export class StreamArchive {
  readonly #broker: MemoryBroker;
  /** Messages that are gone from their stream, by stream and sequence. */
  readonly #gone = new Map<string, Map<number, LogMessage>>();

  constructor(broker: MemoryBroker) {
    this.#broker = broker;
  }

  /** A stream loses its messages below `first`. */
  truncate(stream: string, first: number): void {
    const gone = this.#gone.get(stream) ?? new Map<number, LogMessage>();
    this.#gone.set(stream, gone);
    for (const [sequence, message] of this.#broker.find(stream)!.messages) {
      if (sequence < first) gone.set(sequence, message);
    }
    this.#broker.truncate(stream, first);
  }

  message(stream: string, sequence: number): LogMessage | undefined {
    return this.#broker.find(stream)!.messages.get(sequence) ?? this.#gone.get(stream)?.get(sequence);
  }

  /** In order of sequence. */
  messages(stream: string): LogMessage[] {
    return [...this.#gone.get(stream)?.values() ?? [], ...this.#broker.find(stream)!.messages.values()];
  }
}
