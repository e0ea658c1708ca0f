import { compress, decompress, MAX_MESSAGE_BYTES } from "../wire/compression.ts";
import type { KnownColumns, NodeSchema } from "./cluster_schemas.ts";
import { keyedByRowid, type Table } from "../sqlite/catalog.ts";
import type { Schema } from "./followed_tables.ts";

/** Above this an entry is compressed; below, a person can read it with any NATS client. */
const MAX_PLAIN_BYTES = 32 * 1024;

interface TableJson {
  readonly columns: readonly string[];
  readonly key: readonly string[];
}

/** By table, as in {@link EntryJson}. */
interface Said {
  readonly tables: Map<string, TableJson>;
  readonly past: Map<string, string[]>;
}

/** An entry as JSON. The first three names are those of the Go original, which puts no more. */
interface EntryJson {
  readonly node_id: unknown;
  readonly schema_hash: string;
  readonly updated_at: string;
  /** Followed tables as they are now. */
  readonly tables?: Readonly<Record<string, TableJson>>;
  /** By table: columns that it has no more; all that it ever had when the table itself is gone. */
  readonly past?: Readonly<Record<string, readonly string[]>>;
}

export interface EntryTerms {
  readonly updatedAt: Date;
  readonly maxBytes: number;
  /** What the node's entry has said until now, if there is one. */
  readonly before?: NodeSchema | undefined;
}

/** What a node says of its schema, and when it put that. */
export interface AnnouncedSchema extends NodeSchema {
  /** Undefined when it does not say. */
  readonly hash: string | undefined;
  /** ISO 8601. */
  readonly updatedAt: string | undefined;
}

/**
 * What a node says of its schema: JSON, as a zstd frame when it is long. A schema that does not fit into `maxBytes` even so
 * is told by its hash alone: then other nodes wait for what they do not know, and never take it for a mistake.
 */
export function encodeEntry(
  node: bigint,
  schema: Schema,
  { updatedAt, maxBytes, before }: EntryTerms,
): Uint8Array {
  const head = { schema_hash: schema.hash, updated_at: updatedAt.toISOString() };
  const said = { tables: presentOf(schema), past: pastOf(schema) };
  if (before) keepWhatWasSaid(said, before);
  const whole = toJson(node, {
    ...head,
    tables: Object.fromEntries(said.tables),
    past: Object.fromEntries([...said.past].filter(([, columns]) => columns.length > 0)),
  });
  const bytes = whole.length > MAX_PLAIN_BYTES ? compress(whole) : whole;
  return bytes.length <= maxBytes ? bytes : toJson(node, head);
}

/** Whatever cannot be read, or holds no tables, says nothing about them. */
export function decodeEntry(node: string, bytes: Uint8Array): AnnouncedSchema {
  let head: Pick<AnnouncedSchema, "hash" | "updatedAt"> = { hash: undefined, updatedAt: undefined };
  try {
    const { schema_hash, updated_at, tables, past } = JSON.parse(
      new TextDecoder().decode(decompress(bytes, MAX_MESSAGE_BYTES)),
    );
    head = { hash: textOf(schema_hash), updatedAt: textOf(updated_at) };
    return {
      ...head,
      node,
      tables: new Map(entriesOf(tables).map(([name, table]) => [name, toTable(table as TableJson)])),
      past: new Map(entriesOf(past).map(([name, columns]) => [name, namesOf(columns)])),
    };
  } catch {
    // Made by another program, or by nobody who means well: from what it does not say nothing is concluded.
    return { ...head, node, tables: undefined, past: new Map() };
  }
}

/** An id may exceed what a JavaScript number holds, and is a JSON number all the same. */
function toJson(node: bigint, rest: Omit<EntryJson, "node_id">): Uint8Array {
  return new TextEncoder().encode(`{"node_id":${node},${JSON.stringify(rest).slice(1)}`);
}

function presentOf({ tables }: Schema): Map<string, TableJson> {
  return new Map(
    [...tables].map(([name, table]) => {
      return [name, { columns: [...columnsOf(table)], key: keyOf(table) }];
    }),
  );
}

/** Also tables that are there now, with no column where none is past. */
function pastOf(schema: Schema): Map<string, string[]> {
  const shapes = [...schema.shapes.values()];
  const names = new Set(shapes.flatMap(({ table, former }) => [table, ...former]));
  return new Map(
    [...names].map((name) => {
      const table = schema.tables.get(name);
      const now = new Set(table && columnsOf(table));
      const had = shapes.filter((shape) => shape.table === name || shape.former.includes(name));
      const ever = new Set(had.flatMap(({ columns }) => columns));
      return [name, [...ever].filter((column) => !now.has(column))];
    }),
  );
}

/**
 * A database that was put back to an older copy knows nothing of what came after it, but messages in the streams hold it.
 * Until it has made these changes itself, and perhaps given them up again, the entry says of them what it has said: without
 * it other nodes would take such messages for a mistake.
 */
function keepWhatWasSaid({ tables, past }: Said, before: NodeSchema): void {
  for (const [name, { columns, key }] of before.tables ?? []) {
    const now = tables.get(name);
    const gone = past.get(name);
    if (now) tables.set(name, { ...now, columns: union(now.columns, columns, gone) });
    else if (gone) past.set(name, union(gone, columns));
    else tables.set(name, { columns: [...columns], key });
  }
  for (const [name, columns] of before.past) {
    past.set(name, union(past.get(name) ?? [], columns, tables.get(name)?.columns));
  }
}

function union(some: readonly string[], more: Iterable<string>, without: readonly string[] = []): string[] {
  const left = new Set(without);
  return [...new Set([...some, ...[...more].filter((name) => !left.has(name))])];
}

/** What a node says of a table that it follows. */
export function knownColumns(table: Table): KnownColumns {
  return { columns: columnsOf(table), key: keyOf(table) };
}

/** Also those with which only some of its rows travel. */
function columnsOf(table: Table): Set<string> {
  const { columns, keyMayBeNull, rowid } = table;
  const ofNulls = keyMayBeNull && rowid !== undefined ? keyedByRowid(table, rowid).columns : [];
  return new Set([...columns, ...ofNulls].map(({ name }) => name));
}

function keyOf({ key }: Table): string[] {
  return key.map((column) => column.name);
}

function toTable({ columns, key }: TableJson): KnownColumns {
  return { columns: namesOf(columns), key: [...namesOf(key)] };
}

function entriesOf(value: unknown): [string, unknown][] {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return Object.entries(value);
  throw new TypeError("Cannot read entry: names with what belongs to them expected");
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function namesOf(value: unknown): Set<string> {
  if (!Array.isArray(value)) throw new TypeError("Cannot read entry: a list of names expected");
  return new Set(value.map(String));
}
