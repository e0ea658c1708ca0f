import { DatabaseSync } from "node:sqlite";
import { MessageApplier } from "../../src/apply/message_applier.ts";
import type { Position } from "../../src/apply/position.ts";
import { SchemaTracker } from "../../src/capture/schema_tracker.ts";
import { RoundReader, type ShardBatch } from "../../src/publish/round.ts";
import type { ClusterSchemas } from "../../src/schema/cluster_schemas.ts";
import type { TableFilter } from "../../src/schema/followed_tables.ts";
import { changeLog, GLOBAL_LOG } from "../../src/schema/names.ts";
import { Database } from "../../src/sqlite/database.ts";
import { quote } from "../../src/sqlite/identifier.ts";
import { HEADER_BATCH, HEADER_PART, type LogMessage } from "../../src/stream/replication_log.ts";
import type { BatchPart } from "../../src/wire/batch.ts";
import { encodeEvent } from "../../src/wire/codec.ts";
import type { ChangeType, SqlValue } from "../../src/wire/event.ts";
import { makeTempDir, type TempDir } from "./temp.ts";

export interface CoreLabOptions {
  readonly filter?: TableFilter;
  readonly versionRetentionMs?: number;
  readonly maxBatch?: number;
  readonly maxMessageBytes?: number;
  readonly maxTransactionRows?: number;
  readonly shards?: number;
}

/** An event of another node, unless `node` says otherwise. */
export interface LabEvent {
  readonly table: string;
  readonly type: ChangeType;
  readonly row: Readonly<Record<string, SqlValue>>;
  /** Unix nanoseconds; the lab's own clock stands at {@link LAB_TIME_NS} or later. */
  readonly ts: bigint;
  readonly node?: bigint;
  readonly id?: bigint;
  readonly schemaHash?: string;
}

/** The node that the lab is. */
export const LAB_NODE = 5n;
/** Ahead of the wall clock, so that what a test compares does not depend on it. */
export const LAB_TIME_NS = BigInt(Date.UTC(2100, 0, 1)) * 1_000_000n;
const STREAM = "lab-1";
const DAY_MS = 24 * 60 * 60 * 1000;

/** node:sqlite takes the last two for a whole connection; its type declarations do not say so. */
const APPLICATION = { enableForeignKeyConstraints: false, readBigInts: true, returnArrays: true };

/** One replicated database with an application that knows nothing of it, and one stream made by hand. */
export class CoreLab implements AsyncDisposable {
  readonly application: DatabaseSync;
  readonly database: Database;
  readonly reader: Database;
  readonly schema: SchemaTracker;
  readonly messages: MessageApplier;
  readonly rounds: RoundReader;
  /** What was put aside, and why. */
  readonly quarantined: string[] = [];
  /** Tables that cannot be written, and why. */
  readonly unwritable: string[] = [];
  /** What was left out of what was applied, and why. */
  readonly leftOut: string[] = [];
  /** How often a change turned up that carries this node's id and is none of its own. */
  foreign = 0;
  /** Nodes whose clocks were reported, and by how many milliseconds they are ahead. */
  readonly clocksAhead: [bigint, number][] = [];
  /** What the schema registry says, once it was asked. */
  cluster: ClusterSchemas | undefined;
  position: Position = { stream: STREAM, shard: 1, created: "then", sequence: 0, time: 0n };
  readonly #folder: TempDir;

  private constructor(
    folder: TempDir,
    opened: { application: DatabaseSync; database: Database; reader: Database; schema: SchemaTracker },
    options: CoreLabOptions,
  ) {
    this.#folder = folder;
    this.application = opened.application;
    this.database = opened.database;
    this.reader = opened.reader;
    this.schema = opened.schema;
    this.messages = new MessageApplier({
      database: this.database,
      schema: this.schema,
      node: LAB_NODE,
      versionRetentionMs: options.versionRetentionMs ?? 30 * DAY_MS,
      onQuarantine: (_message, reason) => this.quarantined.push(reason),
      onUnwritable: ({ message }) => this.unwritable.push(message),
      now: () => Number(LAB_TIME_NS / 1_000_000n),
      onClockAhead: (node, aheadMs) => this.clocksAhead.push([node, aheadMs]),
      onForeign: () => this.foreign++,
      onLeftOut: (text) => this.leftOut.push(text),
    });
    this.rounds = new RoundReader(this.reader, LAB_NODE, {
      maxBatch: options.maxBatch ?? 4096,
      maxMessageBytes: options.maxMessageBytes ?? 1_000_000,
      maxTransactionRows: options.maxTransactionRows ?? 100_000,
      shards: options.shards ?? 1,
      scanMaxChanges: 512,
      compress: false,
    }, this.schema.current);
  }

  /** `sql` makes the application's tables, before capture is installed. */
  static async open(sql: string, options: CoreLabOptions = {}): Promise<CoreLab> {
    const folder = await makeTempDir();
    const path = folder.file("lab.db");
    const application = new DatabaseSync(path, APPLICATION);
    application.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; ${sql}`);
    const database = Database.open(path);
    const reader = Database.open(path);
    const filter = options.filter ?? { include: [], exclude: [] };
    const schema = await SchemaTracker.open(database, filter);
    return new CoreLab(folder, { application, database, reader, schema }, options);
  }

  get path(): string {
    return this.database.path;
  }

  /** Runs statements as the application. */
  run(sql: string): void {
    this.application.exec(sql);
  }

  /** A write of the application at a moment of the lab's time. */
  runAt(ts: bigint, sql: string): void {
    this.run(
      `INSERT INTO "__harmonylite___clock" (id, ts) VALUES (1, ${ts - 1n})
       ON CONFLICT (id) DO UPDATE SET ts = excluded.ts; ${sql}`,
    );
  }

  /** Rows of a query, each as one line: values as SQL literals, parted by `|`. */
  lines(sql: string): string[] {
    return this.all(sql).map((row) => row.map(literal).join("|"));
  }

  all(sql: string): SqlValue[][] {
    return this.application.prepare(sql).all() as unknown as SqlValue[][];
  }

  /** What was captured of a table, in order: its type and the given columns. */
  captured(table: string, ...columns: string[]): string[] {
    const values = columns.map((column) => quote(`val_${column}`));
    return this.lines(
      `SELECT log.type, ${values.join(", ")} FROM ${quote(GLOBAL_LOG)} AS global
       JOIN ${quote(changeLog(table))} AS log ON log.id = change_table_id
       WHERE table_name = '${table}' ORDER BY global.id`,
    ).map((line) => line.replaceAll("'", ""));
  }

  /** A message of the stream, behind all others. */
  message(data: Uint8Array, headers: Record<string, string> = {}, timeNs = LAB_TIME_NS): LogMessage {
    this.#sequence++;
    return {
      stream: STREAM,
      sequence: this.#sequence,
      timeNs,
      headers: new Map(Object.entries(headers)),
      data,
    };
  }

  #sequence = 0;

  /** One message with these events. */
  messageOf(events: readonly LabEvent[], timeNs = LAB_TIME_NS): LogMessage {
    return this.message(joined(events.map(encode)), {}, timeNs);
  }

  /** Events that arrive in one message. */
  async receive(...events: readonly LabEvent[]): Promise<void> {
    await this.apply(this.messageOf(events));
  }

  async receiveAt(timeNs: bigint, ...events: readonly LabEvent[]): Promise<void> {
    await this.apply(this.messageOf(events, timeNs));
  }

  async apply(...messages: readonly LogMessage[]): Promise<void> {
    const { signal } = new AbortController();
    this.position = await this.messages.apply(this.position, messages, signal, this.cluster);
  }

  /** Applies all of them, as the applier does: what is left again and again. */
  async applyAll(messages: readonly LogMessage[]): Promise<void> {
    for (let rest = messages; rest.length > 0;) {
      await this.apply(...rest);
      rest = rest.filter(({ sequence }) => sequence > this.position.sequence);
    }
  }

  /** What the publisher would send now. */
  async read(): Promise<ShardBatch[]> {
    const never = new AbortController().signal;
    await this.schema.refresh(never);
    return [...(await this.rounds.read(this.schema.current, never))?.batches ?? []];
  }

  /** The stream's messages of a part. */
  messageOfPart({ data, batch, part }: BatchPart): LogMessage {
    return this.message(data, batch === undefined ? {} : { [HEADER_BATCH]: batch, [HEADER_PART]: part! });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.application.close();
    this.reader.close();
    this.database.close();
    await this.#folder[Symbol.asyncDispose]();
  }
}

function encode({ table, type, row, ts, node = 9n, id = 1n, schemaHash = "another" }: LabEvent): Uint8Array {
  const columns = Object.keys(row).sort();
  return encodeEvent({
    node,
    id,
    type,
    table,
    columns,
    values: columns.map((name) => row[name]!),
    schemaHash,
    ts,
  });
}

export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(pieces.flatMap((piece) => [...piece]));
}

function literal(value: SqlValue): string {
  if (value === null) return "NULL";
  if (value instanceof Uint8Array) return `x'${value.toHex()}'`;
  if (typeof value === "number" && Number.isInteger(value)) return `${value}.0`;
  return typeof value === "string" ? `'${value}'` : String(value);
}
