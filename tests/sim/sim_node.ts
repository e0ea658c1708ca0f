import { Housekeeping } from "../../src/agent/housekeeping.ts";
import { MessageApplier } from "../../src/apply/message_applier.ts";
import { type Position, readPosition, readPositions, storePosition } from "../../src/apply/position.ts";
import { SchemaBehindError } from "../../src/apply/schema_behind.ts";
import { SchemaTracker } from "../../src/capture/schema_tracker.ts";
import { StreamError } from "../../src/lib/errors.ts";
import { silentLogger } from "../../src/observe/logger.ts";
import { markPublished } from "../../src/publish/acknowledgement.ts";
import { RoundReader, type ShardBatch } from "../../src/publish/round.ts";
import { Database } from "../../src/sqlite/database.ts";
import type { MemoryBroker, MemoryLog, PublishFault } from "../../src/stream/memory_log.ts";
import {
  HEADER_BATCH,
  HEADER_PART,
  type LogMessage,
  type PublishAck,
  type StreamState,
} from "../../src/stream/replication_log.ts";
import { type BatchPart, messageId } from "../../src/wire/batch.ts";

export interface SimNodeOptions {
  readonly path: string;
  readonly id: bigint;
  readonly broker: MemoryBroker;
  readonly log: MemoryLog;
  readonly shards: number;
  readonly maxBatch: number;
  readonly maxMessageBytes: number;
  readonly maxTransactionRows: number;
  readonly compress: boolean;
  readonly versionRetentionMs: number;
}

/** A batch on its way: which parts are acknowledged. */
interface Sending {
  readonly shardBatch: ShardBatch;
  readonly acks: (PublishAck | undefined)[];
}

/** What lives in the memory of a node's process, and dies with it. */
interface Running {
  readonly database: Database;
  readonly reader: Database;
  readonly schema: SchemaTracker;
  readonly messages: MessageApplier;
  readonly rounds: RoundReader;
  /** The batches of the round that is being published. */
  sending: Sending[];
  /** Sequence up to which each stream has to be applied before anything is published. */
  readonly behind: Map<string, number>;
}

const EVERYTHING = { include: [], exclude: [] };
const forever = new AbortController().signal;

/**
 * A node without its loops: each method is what happens between two awaits of the publisher or the applier, so that the
 * simulation can put anything between them.
 */
export class SimNode implements Disposable {
  readonly options: SimNodeOptions;
  #running: Running;

  private constructor(options: SimNodeOptions, running: Running) {
    this.options = options;
    this.#running = running;
  }

  static async start(options: SimNodeOptions): Promise<SimNode> {
    return new SimNode(options, await open(options));
  }

  /** The process dies: nothing is left of it but its database file. Another one starts. */
  async crash(): Promise<void> {
    close(this.#running);
    this.#running = await open(this.options);
  }

  [Symbol.dispose](): void {
    close(this.#running);
  }

  get database(): Database {
    return this.#running.database;
  }

  get counters(): MessageApplier["counters"] {
    return this.#running.messages.counters;
  }

  /** How many parts of the present round are not acknowledged yet. */
  get unsent(): number {
    return this.#running.sending.flatMap(({ acks }) => acks).filter((ack) => ack === undefined).length;
  }

  get isPublishing(): boolean {
    return this.#running.sending.length > 0;
  }

  /** Reads what is pending, unless a round is under way or the streams have not been caught up with since the start. */
  async beginRound(): Promise<string> {
    const { sending, behind, schema, rounds } = this.#running;
    if (sending.length > 0 || behind.size > 0) return "waits";
    await schema.refresh(forever);
    const { batches } = await rounds.read(schema.current, forever) ?? { batches: [] };
    this.#running.sending = batches.map((shardBatch) => ({
      shardBatch,
      acks: shardBatch.batch.parts.map(() => undefined),
    }));
    return batches.map(({ shard, batch }) =>
      `reads ${batch.count} for shard ${shard} in ${batch.parts.length}: ${batch.name ?? "one message"}`
    ).join(", ");
  }

  /** Sends one of the parts that are not acknowledged yet; a fault makes it try again some time. */
  async send(choose: (limit: number) => number, fault?: PublishFault): Promise<string> {
    const { unsent } = this;
    if (unsent === 0) return "has nothing to send";
    let chosen = choose(unsent);
    for (const { shardBatch, acks } of this.#running.sending) {
      for (const [at, part] of shardBatch.batch.parts.entries()) {
        if (acks[at] !== undefined || chosen-- > 0) continue;
        acks[at] = await this.#publish(shardBatch.shard, part, fault);
        const said = acks[at] ? `#${acks[at].sequence}${acks[at].duplicate ? " (was there)" : ""}` : fault;
        return `sends ${part.part ?? "1/1"} to shard ${shardBatch.shard}: ${said}`;
      }
    }
    throw new Error("not reached");
  }

  async #publish(shard: number, part: BatchPart, fault?: PublishFault): Promise<PublishAck | undefined> {
    const headers = new Map<string, string>();
    if (part.batch !== undefined) headers.set(HEADER_BATCH, part.batch).set(HEADER_PART, part.part!);
    const { log, id } = this.options;
    if (fault) log.failNextPublish(fault);
    try {
      return await log.publish(shard, { id: messageId(id, headers, part.data), headers, data: part.data });
    } catch (error) {
      if (error instanceof StreamError && error.transient) return undefined;
      throw error;
    }
  }

  /** Marks one batch of which every part is acknowledged. */
  async mark(choose: (limit: number) => number): Promise<string> {
    const { sending, database, schema, messages } = this.#running;
    const done = sending.filter(({ acks }) => !acks.includes(undefined));
    if (done.length === 0) return "has nothing to mark";
    const marked = done[choose(done.length)]!;
    const { shard, changes } = marked.shardBatch;
    const acks = marked.acks as PublishAck[];
    const sequence = Math.max(...acks.map((ack) => ack.sequence));
    await markPublished(database, schema, changes, { shard, sequence });
    this.#running.sending = sending.filter((each) => each !== marked);
    const position = readPositions(database).find((each) => each.shard === shard);
    const isBehind = position !== undefined && sequence <= position.sequence;
    if (acks.some((ack) => ack.duplicate) && isBehind) messages.overlay.reload();
    return `marks ${marked.shardBatch.batch.count} as stored in shard ${shard} #${sequence}`;
  }

  /** Streams that hold messages which are not applied here. */
  unread(): { stream: string; next: number; last: number }[] {
    return this.options.broker.list()
      .map(({ name, last }) => ({ stream: name, next: (this.#position(name)?.sequence ?? 0) + 1, last }))
      .filter(({ next, last }) => next <= last);
  }

  /** Applies up to `count` messages of a stream. Returns false when they wait for a schema change. */
  async consume(stream: string, count: number): Promise<boolean> {
    const { database, messages, behind } = this.#running;
    const position = this.#position(stream) ?? await this.#firstPosition(stream);
    try {
      const after = await messages.apply(position, this.#read(stream, position.sequence + 1, count), forever);
      if (after.sequence >= (behind.get(stream) ?? 0)) behind.delete(stream);
      return true;
    } catch (error) {
      if (!(error instanceof SchemaBehindError)) throw error;
      if (database.count("SELECT count(*) FROM pragma_table_info('plain') WHERE name = 'c'") > 0) throw error;
      behind.delete(stream);
      return false;
    }
  }

  /** Removes what is not needed any more. */
  async cleanUp(): Promise<void> {
    const { database, schema, messages } = this.#running;
    const once = new AbortController();
    await new Housekeeping({
      database,
      schema,
      overlay: messages.overlay,
      logger: silentLogger,
      cleanupIntervalMs: 0,
      versionRetentionMs: this.options.versionRetentionMs,
      sequenceMapPath: `${this.options.path}-seq-map.cbor`,
      replicate: true,
      now: () => (once.abort(), Date.now()),
    }).run({ signal: once.signal });
  }

  #position(stream: string): Position | undefined {
    return readPosition(this.#running.database, stream);
  }

  async #firstPosition(stream: string): Promise<Position> {
    const { shard, created } = (await this.#streams()).find(({ name }) => name === stream)!;
    const position = { stream, shard, created, sequence: 0, time: 0n };
    await this.#running.database.write(() => storePosition(this.#running.database, position));
    return position;
  }

  #streams(): Promise<StreamState[]> {
    return this.options.log.streams();
  }

  #read(stream: string, from: number, count: number): LogMessage[] {
    const { messages } = this.options.broker.find(stream)!;
    const found: LogMessage[] = [];
    for (let sequence = from; found.length < count && messages.has(sequence); sequence++) {
      found.push(messages.get(sequence)!);
    }
    return found;
  }
}

async function open(options: SimNodeOptions): Promise<Running> {
  const { path, id, shards, maxBatch, maxMessageBytes, maxTransactionRows, compress } = options;
  const database = Database.open(path);
  const reader = Database.open(path);
  database.exec("PRAGMA synchronous = OFF");
  const schema = await SchemaTracker.open(database, EVERYTHING, {}, forever);
  const messages = new MessageApplier({
    database,
    schema,
    node: id,
    versionRetentionMs: options.versionRetentionMs,
    onQuarantine: (_message, reason) => {
      throw new Error(`QUARANTINE: ${reason}`);
    },
    onUnwritable: (error) => {
      throw error;
    },
    now: Date.now,
    onClockAhead: () => {},
    onForeign: () => {},
    onLeftOut: (text) => {
      throw new Error(text);
    },
  });
  const limits = { maxBatch, maxMessageBytes, compress, maxTransactionRows, shards, scanMaxChanges: 3 };
  const rounds = new RoundReader(reader, id, limits, schema.current);
  const behind = new Map<string, number>();
  for (const { name, last } of await options.log.streams()) {
    if ((readPosition(database, name)?.sequence ?? 0) < last) behind.set(name, last);
  }
  return { database, reader, schema, messages, rounds, sending: [], behind };
}

function close({ database, reader }: Running): void {
  reader.close();
  database.close();
}
