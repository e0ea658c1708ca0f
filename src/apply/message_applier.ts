import type { Schema } from "../schema/followed_tables.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { ChangeReader } from "../capture/change_reader.ts";
import { raiseClock } from "../capture/trigger_sql.ts";
import type { ClusterSchemas } from "../schema/cluster_schemas.ts";
import { messageOf, WireError } from "../lib/errors.ts";
import { yieldToEventLoop } from "../lib/sleep.ts";
import { type Database, isConstraint } from "../sqlite/database.ts";
import { HEADER_BATCH, HEADER_PART, type LogMessage } from "../stream/replication_log.ts";
import { NODE } from "../schema/names.ts";
import { quote } from "../sqlite/identifier.ts";
import { decodeParts } from "../wire/batch.ts";
import { EventDecoder } from "../wire/codec.ts";
import type { ChangeEvent } from "../wire/event.ts";
import { Fold, type Outcome } from "./fold.ts";
import { Overlay } from "./overlay.ts";
import { type Position, storePosition } from "./position.ts";
import { quarantine } from "./quarantine.ts";
import { RowRefusedError } from "./row_refused.ts";
import { SchemaBehindError } from "./schema_behind.ts";
import { TableUnwritableError } from "./table_unwritable.ts";
import { readPart, WaitingBatches } from "./waiting_batches.ts";

/** A transaction takes further messages until it holds as many events: some 10 ms, in which an application waits to write. */
const MAX_EVENTS_PER_TRANSACTION = 1_000;
/** A larger batch takes effect as a whole; the event loop gets its turn in between. */
const EVENTS_BETWEEN_YIELDS = 500;

const NS_PER_MS = 1_000_000n;
/** A clock this far ahead of ours is worth a word. */
const FAR_AHEAD_NS = 60_000n * NS_PER_MS;

/** What has happened since the start. */
export interface ApplyCounters {
  applied: number;
  lost: number;
  quarantined: number;
}

export interface MessageApplierOptions {
  readonly database: Database;
  readonly schema: SchemaTracker;
  /** This node's id. */
  readonly node: bigint;
  /** After this long, in stream time, a tombstone counts as absent. */
  readonly versionRetentionMs: number;
  /** Told of a message that was put aside. */
  readonly onQuarantine: (message: LogMessage, reason: string) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Told of a node whose clock is far ahead of the wall clock, and how far, in milliseconds. */
  readonly onClockAhead: (node: bigint, aheadMs: number) => void;
  /** Told once when a change turned up that carries our id and that this database did not make. */
  readonly onForeign: () => void;
  /** Told of a table or column in a message that is left out because no node has it any more. */
  readonly onLeftOut: (text: string) => void;
  /** Told of each table that this program's SQLite cannot write, at the start and with the first message after a change. */
  readonly onUnwritable: (error: TableUnwritableError) => void;
}

/** The clocks of a batch. */
interface EventRange {
  readonly node: bigint;
  /** What is sent again after a stream was lost comes from many nodes. */
  isOfOne: boolean;
  first: bigint;
  last: bigint;
}

/** What a transaction does, to be told when it is committed. */
interface Effects {
  applied: number;
  lost: number;
  /** The highest clock among its events. */
  highestTs: bigint;
  /** How far the clocks of the cluster are known to have come, and who led them there in jumps. */
  farthestTs: bigint;
  readonly leaders: { readonly ts: bigint; readonly node: bigint }[];
  /** Whether there was a change with our id that this database did not make. */
  hasForeign: boolean;
  readonly putAside: { readonly message: LogMessage; readonly reason: string }[];
}

type TimedEvent = ChangeEvent & { readonly ts: bigint };

/**
 * Applies messages of a stream: rows, row versions, waiting parts, quarantine and position of one or more whole messages
 * in one transaction. What a crash interrupts has not happened, and is read again.
 */
export class MessageApplier {
  readonly counters: ApplyCounters = { applied: 0, lost: 0, quarantined: 0 };
  readonly overlay: Overlay;
  readonly #options: MessageApplierOptions;
  readonly #database: Database;
  readonly #changes: ChangeReader;
  readonly #fold: Fold;
  readonly #batches: WaitingBatches;
  readonly #decoder = new EventDecoder();
  /** What statements and temporary tables were made for. */
  #schema: Schema;
  /** Of the transaction at hand. */
  #effects: Effects;
  #farthestTs = 0n;
  #saidForeign = false;

  constructor(options: MessageApplierOptions) {
    const { database, node, onLeftOut } = options;
    const schema = options.schema.current;
    this.#options = options;
    this.#effects = this.#noEffects();
    this.#database = database;
    this.overlay = new Overlay(database);
    this.#changes = new ChangeReader(database, schema);
    const { overlay } = this;
    this.#fold = new Fold({ database, node, schema, overlay, changes: this.#changes, onLeftOut });
    this.#batches = new WaitingBatches(database);
    this.#schema = schema;
    this.#sayUnwritable(this.#fold.unwritable());
  }

  /**
   * Applies the first messages, one at least, and returns the position after them; the same position when the schema was
   * changed at that moment: try again. Messages at or below the position are passed over.
   * Rejects with a SchemaBehindError when the first message has to wait for a schema change; nothing was changed then.
   * `cluster`: to judge what is unknown here, read after the messages had arrived; without it they wait.
   */
  async apply(
    position: Position,
    messages: readonly LogMessage[],
    signal: AbortSignal,
    cluster?: ClusterSchemas,
  ): Promise<Position> {
    await this.#options.schema.refresh(signal);
    await this.#followSchema(signal);
    let isRetry = false;
    try {
      return await this.#commit(() => {
        // Should it have to begin anew, own changes that it settled are on their way again.
        if (isRetry) this.overlay.reload();
        isRetry = true;
        return this.#applySome(position, messages, cluster);
      }, signal);
    } catch (error) {
      // It may have settled own changes that are on their way again now.
      this.overlay.reload();
      const isUnwritable = error instanceof TableUnwritableError;
      if (!isUnwritable && !isConstraint(error) && !(error instanceof RowRefusedError)) throw error;
      // The schema here refuses a row: find the message by itself, and put it aside.
      const [first] = messages as [LogMessage];
      if (messages.length > 1) return await this.apply(position, [first], signal, cluster);
      if (isUnwritable) throw new SchemaBehindError(error.table, error.message, this.#schema, error.hint);
      return await this.#commit(() => this.#refuse(position, first, error), signal);
    }
  }

  /** A transaction that was undone may have put messages aside that are put aside again: only what is committed counts. */
  async #commit(work: () => Position | Promise<Position>, signal: AbortSignal): Promise<Position> {
    const { position, effects } = await this.#options.schema.write(async () => {
      this.#effects = this.#noEffects();
      return { position: await work(), effects: this.#effects };
    }, signal);
    this.counters.applied += effects.applied;
    this.counters.lost += effects.lost;
    this.counters.quarantined += effects.putAside.length;
    for (const { message, reason } of effects.putAside) this.#options.onQuarantine(message, reason);
    if (effects.hasForeign && !this.#saidForeign) this.#options.onForeign();
    this.#saidForeign ||= effects.hasForeign;
    this.#farthestTs = effects.farthestTs;
    for (const { ts, node } of effects.leaders) {
      this.#options.onClockAhead(node, Number(ts / NS_PER_MS) - this.#options.now());
    }
    return position;
  }

  /**
   * Runs `work` over the fold in one write transaction, apart from any message; undefined when the schema was changed at
   * that moment: try again. `work` may have to begin anew.
   */
  async withFold<T>(work: (fold: Fold) => T | Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    await this.#options.schema.refresh(signal);
    await this.#followSchema(signal);
    try {
      return await this.#options.schema.write(() => {
        if (this.#options.schema.current !== this.#schema) return undefined;
        this.overlay.reload();
        this.#fold.begin();
        return work(this.#fold);
      }, signal);
    } finally {
      this.overlay.reload();
    }
  }

  /** Whether the schema is another than the one that messages did not fit. */
  async isSchemaNew({ schema }: SchemaBehindError, signal: AbortSignal): Promise<boolean> {
    const tracker = this.#options.schema;
    return tracker.current !== schema || !await this.#database.look(() => tracker.isCurrent(), signal);
  }

  async #applySome(
    position: Position,
    messages: readonly LogMessage[],
    cluster: ClusterSchemas | undefined,
  ): Promise<Position> {
    // The schema may have changed once more meanwhile.
    if (this.#options.schema.current !== this.#schema) return position;
    this.#fold.use(this.#schema, cluster);
    this.#fold.begin();
    let now = position;
    let events = 0;
    for (const message of messages) {
      if (message.sequence <= now.sequence) continue;
      const time = message.timeNs > now.time ? message.timeNs : now.time;
      this.overlay.reach(position.shard, message.sequence);
      try {
        events += await this.#deliver(message, time);
      } catch (error) {
        // It waits for the schema; what came before it need not.
        if (error instanceof SchemaBehindError && now !== position) break;
        throw error;
      }
      now = { ...now, sequence: message.sequence, time };
      if (events >= MAX_EVENTS_PER_TRANSACTION) break;
    }
    const { highestTs } = this.#effects;
    if (highestTs > 0n) raiseClock(this.#database, highestTs);
    storePosition(this.#database, now);
    return now;
  }

  /** In a transaction of its own: temporary tables and triggers would be undone with one that fails. */
  async #followSchema(signal: AbortSignal): Promise<void> {
    const tracker = this.#options.schema;
    if (tracker.current === this.#schema) return;
    const { schema, unwritable } = await tracker.write(() => {
      const schema = tracker.current;
      this.#changes.use(schema);
      this.#fold.use(schema, undefined);
      return { schema, unwritable: this.#fold.unwritable() };
    }, signal);
    this.#schema = schema;
    this.#sayUnwritable(unwritable);
  }

  #sayUnwritable(errors: readonly TableUnwritableError[]): void {
    for (const error of errors) this.#options.onUnwritable(error);
  }

  /** Applies, keeps or puts aside one message; returns how many events took effect. */
  async #deliver(message: LogMessage, streamTime: bigint): Promise<number> {
    try {
      const part = readPart(message.headers.get(HEADER_BATCH), message.headers.get(HEADER_PART));
      if (!part) {
        this.#judge(message);
        return await this.#foldIn(message, undefined, decodeParts([message.data], this.#decoder), streamTime);
      }
      if (this.#batches.isFinished(message.stream, part)) return 0;
      const contents = this.#batches.complete(message, part);
      if (!contents) {
        const kept = this.#batches.keep(message, part);
        if (!kept) this.#quarantine(message, "Cannot read message: another part came under its number");
        return 0;
      }
      const events = decodeParts(contents(), this.#decoder, part.name);
      return await this.#undoably(() => this.#foldIn(message, part.batch, events, streamTime));
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#putAside(message, error.message);
      return 0;
    }
  }

  /**
   * All events of a message are judged before anything is written: it takes effect whole or not at all. To decode it twice takes
   * no longer than to keep its events meanwhile, which V8 would move to where only a full collection finds them (measured).
   */
  #judge(message: LogMessage): void {
    let count = 0;
    for (const events of decodeParts([message.data], this.#decoder)) {
      for (const event of events) this.#fold.plan(timed(event, message));
      count += events.length;
    }
    if (count === 0) throw new WireError("Cannot read message: it holds no event");
  }

  /** A batch of many parts is too large to be judged first: what it did is taken back when one of its events is refused. */
  async #undoably<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#database.savepoint(work);
    } catch (error) {
      this.overlay.reload();
      this.#fold.begin();
      throw error;
    }
  }

  async #foldIn(
    message: LogMessage,
    batch: string | undefined,
    groups: Iterable<readonly ChangeEvent[]>,
    streamTime: bigint,
  ): Promise<number> {
    const retention = BigInt(this.#options.versionRetentionMs) * 1_000_000n;
    const time = { highest: streamTime, expired: streamTime - retention };
    const outcomes: Record<Outcome, number> = { written: 0, foreign: 0, kept: 0, lost: 0, old: 0 };
    let count = 0;
    let range: EventRange | undefined;
    for (const events of groups) {
      this.#fold.expect(events);
      for (const untimed of events) {
        const event = timed(untimed, message);
        range = widen(range, event);
        const planned = this.#fold.plan(event);
        const outcome = planned ? this.#fold.apply(planned, time) : "old";
        outcomes[outcome]++;
        if (outcome === "foreign") this.#noteForeign(event);
        if (++count % EVENTS_BETWEEN_YIELDS === 0) await yieldToEventLoop();
      }
    }
    if (batch !== undefined) this.#batches.remember(message.stream, batch);
    if (range?.isOfOne) this.#batches.cover(message.stream, range.node, range.first, range.last);
    const effects = this.#effects;
    if (range) this.#noteClock(range);
    effects.applied += outcomes.written + outcomes.foreign + outcomes.kept;
    effects.lost += outcomes.lost;
    return count;
  }

  /**
   * From an event far ahead on all clocks of the cluster run ahead of the wall clock: so the one that led them there is
   * remembered, and not those that follow it.
   */
  #noteClock({ node, last }: EventRange): void {
    const effects = this.#effects;
    if (last > effects.highestTs) effects.highestTs = last;
    if (last - effects.farthestTs < FAR_AHEAD_NS) return;
    effects.farthestTs = last;
    effects.leaders.push({ ts: last, node });
  }

  /** Since the database is ours, what it sends stays in its change log until it comes back. */
  #noteForeign({ ts }: TimedEvent): void {
    const since = this.#database.value(`SELECT since FROM ${quote(NODE)} WHERE id = 1`);
    if (typeof since === "bigint" && ts > since) this.#effects.hasForeign = true;
  }

  #noEffects(): Effects {
    const wallClock = BigInt(this.#options.now()) * NS_PER_MS;
    const farthestTs = this.#farthestTs > wallClock ? this.#farthestTs : wallClock;
    return { applied: 0, lost: 0, highestTs: 0n, farthestTs, leaders: [], hasForeign: false, putAside: [] };
  }

  /** Keeps a message for a person to look at; of a batch, also the parts that came before. */
  #putAside(message: LogMessage, reason: string): void {
    const batch = message.headers.get(HEADER_BATCH);
    const parts = batch === undefined ? [] : this.#batches.take(message.stream, batch);
    for (const refused of parts) quarantine(this.#database, refused, reason);
    this.#quarantine(message, reason);
  }

  #quarantine(message: LogMessage, reason: string): void {
    quarantine(this.#database, message, reason);
    this.#effects.putAside.push({ message, reason });
  }

  /** Passes a message whose rows this schema refuses. */
  #refuse(position: Position, message: LogMessage, error: unknown): Position {
    this.#putAside(message, `Cannot apply: ${messageOf(error)}`);
    const time = message.timeNs > position.time ? message.timeNs : position.time;
    const now = { ...position, sequence: message.sequence, time };
    storePosition(this.#database, now);
    return now;
  }
}

/** An event of the Go original has no clock: it takes the time at which its stream stored it. */
function timed(event: ChangeEvent, message: LogMessage): TimedEvent {
  return event.ts === undefined ? { ...event, ts: message.timeNs } : event as TimedEvent;
}

function widen(range: EventRange | undefined, { node, ts }: TimedEvent): EventRange {
  if (!range) return { node, isOfOne: true, first: ts, last: ts };
  if (node !== range.node) range.isOfOne = false;
  if (ts < range.first) range.first = ts;
  if (ts > range.last) range.last = ts;
  return range;
}
