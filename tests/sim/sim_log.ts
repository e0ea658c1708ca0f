import type { MemoryLog } from "../../src/stream/memory_log.ts";
import {
  HEADER_PART,
  type KnownPast,
  type LogMessage,
  type OutgoingMessage,
  type PublishAck,
  type ReplicationLog,
  type StreamState,
} from "../../src/stream/replication_log.ts";
import type { Gates } from "./gates.ts";

/** The log as one process of a node sees it: messages pass when the simulation opens a gate for them. */
export class SimLog implements ReplicationLog {
  readonly maxPayload: number;
  readonly #log: MemoryLog;
  readonly #gates: Gates;
  readonly #say: (text: string) => void;

  constructor(log: MemoryLog, gates: Gates, options: { maxPayload: number; say: (text: string) => void }) {
    const { maxPayload, say } = options;
    this.maxPayload = maxPayload;
    this.#log = log;
    this.#gates = gates;
    this.#say = say;
  }

  ensureStreams(): Promise<StreamState[]> {
    return this.#log.ensureStreams();
  }

  streams(): Promise<StreamState[]> {
    return this.#log.streams();
  }

  async publish(shard: number, message: OutgoingMessage): Promise<PublishAck> {
    const { fault } = await this.#gates.wait("publish");
    const what = `sends ${message.headers.get(HEADER_PART) ?? "1/1"} to shard ${shard}`;
    if (fault !== undefined) this.#log.failNextPublish(fault);
    try {
      const ack = await this.#log.publish(shard, message);
      this.#say(`${what}: #${ack.sequence}${ack.duplicate ? " (was there)" : ""}`);
      return ack;
    } catch (error) {
      this.#say(`${what}: ${fault ?? "cut off"}`);
      throw error;
    }
  }

  async *read(
    stream: string,
    from: number,
    signal: AbortSignal,
    known?: KnownPast,
  ): AsyncGenerator<readonly LogMessage[]> {
    const source = this.#log.read(stream, from, signal, known);
    for (;;) {
      const [arrived] = await Promise.allSettled([source.next()]);
      // A failure passes a gate, too: from there on it is this process that runs, and its timers.
      const { count = 1 } = await this.#gates.wait("read");
      if (arrived.status === "rejected") throw arrived.reason;
      const { value, done } = arrived.value;
      if (done) return;
      const messages = [...value];
      const last = await this.#lastOf(stream);
      while (messages.length < count && messages.at(-1)!.sequence < last) {
        messages.push(...(await source.next()).value ?? []);
      }
      this.#say(`gets ${stream} #${messages[0]!.sequence} to #${messages.at(-1)!.sequence}`);
      yield messages;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#log[Symbol.asyncDispose]();
  }

  /** The end of a stream as far as it can be seen; 0 while cut off. */
  async #lastOf(stream: string): Promise<number> {
    try {
      return (await this.#log.streams()).find(({ name }) => name === stream)?.last ?? 0;
    } catch {
      return 0; // Cut off: then what has arrived is all there is.
    }
  }
}
