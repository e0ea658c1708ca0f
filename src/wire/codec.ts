/**
 * Events to bytes and back. One event is
 * `{FromNodeId, Payload: {Id, Type, TableName, Row: {column: value}, sh, ts}}`, the names being those of the Go original.
 * We write the keys in this order and the columns ascending by name; `sh` and `ts` are left out when there is none.
 * We read them in any order, for the Go original has none.
 */

import { CborReader, CborWriter, MAJOR, TruncatedError } from "./cbor.ts";
import { hashContent } from "./content_hash.ts";
import type { ChangeEvent, ChangeType, SqlValue } from "./event.ts";
import { encodedText, EventShape, MAX_COLUMNS, RowShape, TableShape } from "./shape.ts";

export { EventShape } from "./shape.ts";

/** The last nanosecond of the year 2200: a later clock is hostile, as nobody could ever write after it. */
export const MAX_TIMESTAMP_NS = 7_289_654_400_000_000_000n - 1n;

/** Longest schema hash that is believed; ours has 64 characters. */
const MAX_SCHEMA_HASH_CHARS = 128;

/** Tables, and sets of columns, that a decoder remembers before it starts over. */
const MAX_REMEMBERED = 256;
/** Names longer than this, all together, are not worth remembering. */
const MAX_REMEMBERED_CHARS = 16 * 1024;

const EVENT_KEYS = keyTable("FromNodeId", "Payload");
const PAYLOAD_KEYS = keyTable("Id", "Type", "TableName", "Row", "sh", "ts");
const TYPES = keyTable("insert", "update", "delete");

const [FROM_NODE_ID_KEY, PAYLOAD_KEY] = EVENT_KEYS.encoded as [Uint8Array, Uint8Array];
const EVENT_START = new Uint8Array([MAJOR.map << 5 | 2, ...FROM_NODE_ID_KEY]);
/** By number of entries in the payload: from its key up to the key of its first entry. */
const PAYLOAD_STARTS = [4, 5, 6].map((entries) =>
  new Uint8Array([...PAYLOAD_KEY, MAJOR.map << 5 | entries, ...encodedText("Id")])
);
const TYPE_ENTRIES: Readonly<Record<ChangeType, Uint8Array>> = {
  insert: new Uint8Array([...encodedText("Type"), ...encodedText("insert")]),
  update: new Uint8Array([...encodedText("Type"), ...encodedText("update")]),
  delete: new Uint8Array([...encodedText("Type"), ...encodedText("delete")]),
};
const TS_KEY = encodedText("ts");

/**
 * Appends one event and returns its content hash, see {@link ChangeEvent.hash}.
 *
 * @param values in the order of `shape.columns`
 * @param ts undefined only to imitate the Go original
 */
export function writeEvent(
  writer: CborWriter,
  shape: EventShape,
  node: bigint,
  type: ChangeType,
  id: bigint,
  ts: bigint | undefined,
  values: readonly SqlValue[],
): number {
  const optional = (shape.schemaHash === undefined ? 0 : 1) + (ts === undefined ? 0 : 1);
  writer.writeEncoded(EVENT_START);
  writer.writeInteger(node);
  writer.writeEncoded(PAYLOAD_STARTS[optional] as Uint8Array);
  writer.writeInteger(id);
  writer.writeEncoded(TYPE_ENTRIES[type]);
  writer.writeEncoded(shape.beforeRow);
  const rowStart = writer.length;
  shape.row.write(writer, values);
  const hash = hashContent(shape.table.seedOf(type), writer.bytes, writer.view, rowStart, writer.length);
  writer.writeEncoded(shape.afterRow);
  if (ts !== undefined) {
    writer.writeEncoded(TS_KEY);
    writer.writeInteger(ts);
  }
  return hash;
}

/** The bytes of one event. For many events of a table keep an {@link EventShape} and use {@link writeEvent}. */
export function encodeEvent(event: Omit<ChangeEvent, "hash">): Uint8Array {
  const shape = new EventShape(event.table, event.columns, event.schemaHash);
  const values = shape.columns.map((name) => event.values[event.columns.indexOf(name)] as SqlValue);
  const writer = new CborWriter(512);
  writeEvent(writer, shape, event.node, event.type, event.id, event.ts, values);
  return writer.copy();
}

/** What remains after the whole events that some bytes hold. */
export interface DecodedPrefix {
  /** How many bytes the whole events take. */
  readonly consumed: number;
  /** 0 when nothing is left; else at least so many bytes, counted from the first, it takes to read one event more. */
  readonly needed: number;
}

/** Events that are handed on together: few enough to be garbage again soon, or V8's young generation grows (measured). */
const EVENTS_AT_A_TIME = 16;

/**
 * Bytes to events. A decoder remembers the tables and columns it has met (up to a limit), so that it need not decode
 * the same names for every row, and so that events of one kind share one `columns` array. Keep one for each reader.
 */
export class EventDecoder {
  readonly #tables = new Map<string, KnownTable>();
  readonly #rows = new Map<string, RowShape>();
  readonly #scratch = new CborWriter(1024);
  #table = new KnownTable("");
  #row: RowShape | undefined;
  #schemaHash = { text: "", encoded: encodedText("") };

  /**
   * Decodes one message: a CBOR sequence of one or more events.
   * Throws a WireError, and nothing else, when the bytes are anything else.
   *
   * @param bytes must not change afterwards: BLOBs are views of it
   */
  decode(bytes: Uint8Array): ChangeEvent[] {
    const reader = new CborReader(bytes);
    const events: ChangeEvent[] = [];
    do events.push(this.#readEvent(reader)); while (!reader.atEnd);
    return events;
  }

  /** Decodes as many events as are whole, some at a time: the last one may go on in the next part of a batch. */
  *decodePrefix(bytes: Uint8Array): Generator<ChangeEvent[], DecodedPrefix> {
    const reader = new CborReader(bytes);
    let events: ChangeEvent[] = [];
    let consumed = 0;
    let needed = 0;
    try {
      while (!reader.atEnd) {
        events.push(this.#readEvent(reader));
        consumed = reader.position;
        if (events.length < EVENTS_AT_A_TIME) continue;
        yield events;
        events = [];
      }
    } catch (error) {
      if (!(error instanceof TruncatedError)) throw error;
      needed = error.needed;
    }
    if (events.length > 0) yield events;
    return { consumed, needed };
  }

  #readEvent(reader: CborReader): ChangeEvent {
    const start = reader.position;
    const draft = new Draft();
    const entries = reader.readHead(MAJOR.map, "event");
    let seen = 0;
    let unknown: Set<string> | undefined;
    for (let entry = 0; entry < entries; entry++) {
      const key = readKey(reader, EVENT_KEYS, entry);
      if (typeof key === "string") unknown = skipUnknown(reader, key, unknown);
      else {
        seen = markSeen(reader, seen, key);
        if (key === 0) draft.node = reader.readInteger("node");
        else this.#readPayload(reader, draft);
      }
    }
    if (seen !== 3 || draft.node < 1n) throw reader.error("event without node or payload", start);
    return this.#finish(reader, draft);
  }

  #readPayload(reader: CborReader, draft: Draft): void {
    const start = reader.position;
    const entries = reader.readHead(MAJOR.map, "payload");
    let seen = 0;
    let unknown: Set<string> | undefined;
    for (let entry = 0; entry < entries; entry++) {
      const key = readKey(reader, PAYLOAD_KEYS, entry);
      if (typeof key === "string") unknown = skipUnknown(reader, key, unknown);
      else {
        seen = markSeen(reader, seen, key);
        this.#readPayloadEntry(reader, draft, key);
      }
    }
    if ((seen & 15) !== 15) throw reader.error("payload without id, type, table or row", start);
  }

  /** @param key index into {@link PAYLOAD_KEYS} */
  #readPayloadEntry(reader: CborReader, draft: Draft, key: number): void {
    if (key === 0) draft.id = reader.readInteger("id");
    else if (key === 1) draft.type = readType(reader);
    else if (key === 2) draft.table = this.#readTable(reader);
    else if (key === 3) this.#readRow(reader, draft);
    else if (key === 4) draft.schemaHash = this.#readSchemaHash(reader);
    else draft.ts = readTimestamp(reader);
  }

  #readTable(reader: CborReader): KnownTable {
    if (reader.skipIf(this.#table.encodedName)) return this.#table;
    const name = reader.readText("table name");
    const table = this.#tables.get(name) ?? new KnownTable(name);
    this.#table = table;
    remember(this.#tables, name, table);
    return table;
  }

  #readSchemaHash(reader: CborReader): string {
    const known = this.#schemaHash;
    if (reader.skipIf(known.encoded)) return known.text;
    const text = reader.readText("schema hash");
    if (text.length > MAX_SCHEMA_HASH_CHARS) throw reader.error("schema hash too long");
    this.#schemaHash = { text, encoded: encodedText(text) };
    return text;
  }

  #readRow(reader: CborReader, draft: Draft): void {
    draft.rowStart = reader.position;
    reader.canonical = true;
    const guess = draft.table?.rowShapes[draft.type] ?? this.#row;
    if (guess === undefined || !readRowLike(reader, guess, draft)) {
      reader.position = draft.rowStart;
      reader.canonical = true;
      this.#readAnyRow(reader, draft);
    }
    draft.canonical &&= reader.canonical;
    draft.rowEnd = reader.position;
    this.#row = draft.row;
    if (draft.table !== undefined) draft.table.rowShapes[draft.type] = draft.row;
  }

  #readAnyRow(reader: CborReader, draft: Draft): void {
    const count = reader.readHead(MAJOR.map, "row");
    if (count === 0 || count > MAX_COLUMNS) throw reader.error(`row of ${count} columns`);
    const cells: [string, SqlValue][] = [];
    for (let index = 0; index < count; index++) cells.push([reader.readText("column"), reader.readValue()]);
    draft.canonical = inOrder(cells);
    if (!draft.canonical) cells.sort(byName);
    if (hasTwice(cells)) throw reader.error("column named twice");
    draft.row = this.#rowShape(cells.map(([name]) => name));
    draft.values = cells.map(([, value]) => value);
  }

  /** The shape of these columns, the same one as last time if it is remembered. */
  #rowShape(columns: readonly string[]): RowShape {
    const key = JSON.stringify(columns);
    const shape = this.#rows.get(key) ?? new RowShape(columns);
    remember(this.#rows, key, shape);
    return shape;
  }

  #finish(reader: CborReader, draft: Draft): ChangeEvent {
    const { node, id, type, row, values, schemaHash, ts } = draft;
    const table = draft.table as KnownTable;
    return {
      node,
      id,
      type,
      table: table.name,
      columns: (row as RowShape).columns,
      values,
      schemaHash,
      ts,
      hash: this.#hash(reader, draft, table),
    };
  }

  /** Of the row's bytes as received when they are as we would write them (all of ours are), else as we would write them. */
  #hash(reader: CborReader, draft: Draft, table: KnownTable): number {
    const seed = table.seedOf(draft.type);
    if (draft.canonical) return hashContent(seed, reader.bytes, reader.view, draft.rowStart, draft.rowEnd);
    const scratch = this.#scratch;
    scratch.clear();
    (draft.row as RowShape).write(scratch, draft.values);
    return hashContent(seed, scratch.bytes, scratch.view, 0, scratch.length);
  }
}

/** A table that was met, with the columns that its last change of each type carried: most likely the next one's too. */
class KnownTable extends TableShape {
  readonly rowShapes: Record<ChangeType, RowShape | undefined> = {
    insert: undefined,
    update: undefined,
    delete: undefined,
  };
}

/** An event while it is read. */
class Draft {
  node = 0n;
  id = 0n;
  type: ChangeType = "insert";
  table: KnownTable | undefined = undefined;
  row: RowShape | undefined = undefined;
  values: SqlValue[] = [];
  schemaHash: string | undefined = undefined;
  ts: bigint | undefined = undefined;
  rowStart = 0;
  rowEnd = 0;
  /** Whether the row's bytes are exactly those that we would have written. */
  canonical = true;
}

/** Names that may come next, decoded and encoded. */
interface KeyTable {
  readonly names: readonly string[];
  readonly encoded: readonly Uint8Array[];
}

function keyTable(...names: string[]): KeyTable {
  return { names, encoded: names.map(encodedText) };
}

/** Index of the name that comes next, or the name itself if it is none of the table's. `guess` is tried first. */
function readKey(reader: CborReader, table: KeyTable, guess: number): number | string {
  const count = table.encoded.length;
  for (let offset = 0; offset < count; offset++) {
    const index = (guess + offset) % count;
    if (reader.skipIf(table.encoded[index] as Uint8Array)) return index;
  }
  const name = reader.readText("key");
  const index = table.names.indexOf(name);
  return index < 0 ? name : index;
}

function markSeen(reader: CborReader, seen: number, key: number): number {
  if ((seen & 1 << key) !== 0) throw reader.error("key twice in one map");
  return seen | 1 << key;
}

/** Keys that we do not know are none of our business, but for two of one name. */
function skipUnknown(reader: CborReader, key: string, seen: Set<string> = new Set()): Set<string> {
  if (seen.has(key)) throw reader.error("key twice in one map");
  reader.skipItem();
  return seen.add(key);
}

function readType(reader: CborReader): ChangeType {
  const type = readKey(reader, TYPES, 0);
  if (typeof type === "string") throw reader.error("unknown type of change");
  return TYPES.names[type] as ChangeType;
}

function readTimestamp(reader: CborReader): bigint {
  const ts = reader.readInteger("ts");
  if (ts < 1n || ts > MAX_TIMESTAMP_NS) throw reader.error(`ts ${ts} is not a time that a clock could show,`);
  return ts;
}

/** Reads a row if it has exactly these columns in this order; else false, having read who knows how far. */
function readRowLike(reader: CborReader, shape: RowShape, draft: Draft): boolean {
  const { keys } = shape;
  const values: SqlValue[] = [];
  if (!reader.skipIf(shape.head)) return false;
  for (let index = 0; index < keys.length; index++) {
    if (!reader.skipIf(keys[index] as Uint8Array)) return false;
    values.push(reader.readValue());
  }
  draft.row = shape;
  draft.values = values;
  return true;
}

type Cell = readonly [string, SqlValue];

function byName(a: Cell, b: Cell): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}

function inOrder(cells: readonly Cell[]): boolean {
  return cells.every(([name], index) => index === 0 || (cells[index - 1] as Cell)[0] < name);
}

function hasTwice(sorted: readonly Cell[]): boolean {
  return sorted.some(([name], index) => sorted[index + 1]?.[0] === name);
}

/** Keeps an entry, within limits that hostile names cannot exceed. */
function remember<Value>(memory: Map<string, Value>, key: string, value: Value): void {
  if (key.length > MAX_REMEMBERED_CHARS || memory.has(key)) return;
  if (memory.size >= MAX_REMEMBERED) memory.clear();
  memory.set(key, value);
}

const sharedDecoder = new EventDecoder();

/** Decodes one message with a decoder that everybody shares; see {@link EventDecoder.decode}. */
export function decodeEvents(bytes: Uint8Array): ChangeEvent[] {
  return sharedDecoder.decode(bytes);
}
