import { createHash } from "node:crypto";
import { ON_ITS_WAY } from "../apply/overlay.ts";
import { keyText } from "../apply/key_text.ts";
import { bindable, hasKey, keyParameters, selectVersion } from "../apply/row_sql.ts";
import type { Version } from "../apply/version.ts";
import { nextPageRows } from "../lib/page_rows.ts";
import { changeLog, valueColumn } from "../schema/names.ts";
import type { FollowedTable } from "../schema/followed_tables.ts";
import { hasNull } from "../schema/row_conditions.ts";
import type { Database, Row } from "../sqlite/database.ts";
import { exactColumns, ExactValues } from "../sqlite/exact_row.ts";
import { quote } from "../sqlite/identifier.ts";
import { CborWriter } from "../wire/cbor.ts";
import { EventShape, writeEvent } from "../wire/codec.ts";
import type { SqlValue } from "../wire/event.ts";
import { decodeKey, type EncodedKey, encodeKey } from "./key.ts";
import { inRange, type KeyRange } from "./key_range.ts";

/** What the rows of a range have in common when they are equal, types included. */
export interface Digest {
  readonly count: number;
  readonly digest: string;
}

/** One row of one node at one moment. */
export interface RowState {
  readonly key: EncodedKey;
  /** Content hash of the row as an event has it; undefined when there is no such row. */
  readonly hash: number | undefined;
  /** What the streams have decided on; undefined for a row they never spoke of. */
  readonly version: Version | undefined;
  /** Whether it is, or is gone, as the change that its version was made of has it. */
  readonly isAsVersioned: boolean;
  /** Whether an own change of it has not come back: then others cannot have it. */
  readonly isOnItsWay: boolean;
}

/** A row with its content hash, as it is read one after the other. */
interface HashedRow {
  readonly key: SqlValue[];
  readonly hash: number;
}

/** How many rows are in memory at a time, at first and at most, and how many bytes of them are aimed at. */
const FIRST_PAGE_ROWS = 16;
const MAX_PAGE_ROWS = 256;
const PAGE_BYTES = 256 << 10;
/** Beyond so many own changes on their way no row of the table can be judged. */
const MAX_ON_THEIR_WAY = 50_000;
const DIGEST_CHARS = 24;

/** Reads the rows of one kind (see `rowKinds`) of one table in order of their key. */
export class TableRows {
  readonly table: FollowedTable;
  readonly #database: Database;
  readonly #exact: ExactValues;
  readonly #shape: EventShape;
  readonly #deleteShape: EventShape;
  readonly #scratch = new CborWriter(4096);
  readonly #select: string;
  readonly #order: readonly string[];
  readonly #keyAt: readonly number[];

  constructor(database: Database, table: FollowedTable) {
    this.table = table;
    this.#database = database;
    this.#exact = new ExactValues(database);
    const columns = table.columns.map(({ name }) => name);
    this.#shape = new EventShape(table.name, columns, undefined);
    this.#deleteShape = new EventShape(table.name, table.key.map(({ name }) => name), undefined);
    this.#select = `SELECT ${exactColumns(columns.map((name) => `row.${quote(name)}`))}
      FROM ${quote(table.name)} AS row WHERE ${ofKind(table)}`;
    this.#order = table.key.map(collated);
    this.#keyAt = table.key.map(({ name }) => columns.indexOf(name));
  }

  /** The first rows of a range, at most `limit`: their keys and hashes. */
  read(range: KeyRange, limit: number): { readonly key: EncodedKey; readonly hash: number }[] {
    return [...this.#range(range, limit)].map(({ key, hash }) => ({ key: encodeKey(key), hash }));
  }

  digest(range: KeyRange): Digest {
    const { count, digest } = digestOf(this.#range(range, Infinity));
    return { count, digest };
  }

  /** The digest of the first rows of a range, at most `limit`, and the key of the last; undefined without any. */
  next(range: KeyRange, limit: number): (Digest & { readonly last: EncodedKey }) | undefined {
    const { last, ...digest } = digestOf(this.#range(range, limit));
    return last && { ...digest, last: encodeKey(last) };
  }

  states(keys: readonly EncodedKey[]): RowState[] {
    const onTheirWay = this.#keysOnTheirWay();
    return keys.map((key) => {
      const values = decodeKey(key);
      const hash = this.#one(values)?.hash;
      const version = this.#version(values);
      return {
        key,
        hash,
        version,
        isAsVersioned: (hash ?? this.#hashOfDelete(values)) === version?.hash,
        isOnItsWay: onTheirWay?.has(keyText(this.table.key, values)) ?? true,
      };
    });
  }

  /** The row as an event under its stored version, a delete when it is gone; an event without a clock has no version. */
  event(key: EncodedKey): Uint8Array {
    const values = decodeKey(key);
    const version = this.#version(values);
    const row = this.#readRow(values);
    this.#scratch.clear();
    const [shape, type] = row ? [this.#shape, "insert" as const] : [this.#deleteShape, "delete" as const];
    const sorted = row ? this.#exact.of(row) : this.#sortedKey(values);
    writeEvent(this.#scratch, shape, version?.node ?? 1n, type, 0n, version?.ts, sorted);
    return this.#scratch.copy();
  }

  #sortedKey(values: readonly SqlValue[]): SqlValue[] {
    return this.#deleteShape.columns.map((name) =>
      values[this.table.key.findIndex((key) => key.name === name)]!
    );
  }

  /**
   * The first rows of a range, at most `limit`. Few of them at a time: rows that are all there at once outlive the young
   * generation of V8, which costs more time than asking again, and four times the memory.
   */
  *#range({ after, upTo }: KeyRange, limit: number): Generator<HashedRow> {
    let rows = FIRST_PAGE_ROWS;
    for (let start = after, left = limit; left > 0;) {
      const { page, bytes } = this.#page({ after: start, upTo }, Math.min(rows, left));
      yield* page;
      if (page.length < Math.min(rows, left)) return;
      start = encodeKey(page.at(-1)!.key);
      left -= page.length;
      rows = nextPageRows({ rows: page.length, bytes }, { bytes: PAGE_BYTES, most: MAX_PAGE_ROWS });
    }
  }

  #page(range: KeyRange, limit: number): { readonly page: HashedRow[]; readonly bytes: number } {
    const within = inRange(this.#order, range);
    const sql = `${this.#select} AND ${within.sql} ORDER BY ${this.#order.join(", ")} LIMIT ?`;
    let bytes = 0;
    const page = this.#database.all(sql, ...within.parameters, BigInt(limit)).map((row) => {
      const hashed = this.#hash(row);
      bytes += this.#scratch.length;
      return hashed;
    });
    return { page, bytes };
  }

  #hash(row: Row): HashedRow {
    const values = this.#exact.of(row);
    this.#scratch.clear();
    const hash = writeEvent(this.#scratch, this.#shape, 1n, "insert", 0n, undefined, values);
    return { key: this.#keyAt.map((at) => values[at]!), hash };
  }

  #one(key: readonly SqlValue[]): HashedRow | undefined {
    const row = this.#readRow(key);
    return row && this.#hash(row);
  }

  #readRow(key: readonly SqlValue[]): Row | undefined {
    const sql = `${this.#select} AND ${hasKey(this.table, keyParameters(key))}`;
    return this.#database.get(sql, ...key.map(bindable));
  }

  #hashOfDelete(key: readonly SqlValue[]): number {
    this.#scratch.clear();
    return writeEvent(this.#scratch, this.#deleteShape, 1n, "delete", 0n, undefined, this.#sortedKey(key));
  }

  #version(key: readonly SqlValue[]): Version | undefined {
    const sql = selectVersion(this.table, keyParameters(key));
    const row = this.#database.get(sql, ...key.map(bindable)) as [bigint, bigint, bigint] | undefined;
    return row && row[0] > 0n ? { ts: row[0], node: row[1], hash: Number(row[2]) } : undefined;
  }

  /** Keys with own changes on their way; undefined when there are too many to say. */
  #keysOnTheirWay(): Set<string> | undefined {
    const { key, name } = this.table;
    const columns = key.map((column) => `log.${quote(valueColumn(column.name))}`);
    const rows = this.#database.all(
      `SELECT ${exactColumns(columns)} FROM ${quote(changeLog(name))} AS log WHERE ${ON_ITS_WAY} LIMIT ?`,
      BigInt(MAX_ON_THEIR_WAY + 1),
    );
    if (rows.length > MAX_ON_THEIR_WAY) return undefined;
    return new Set(rows.map((row) => keyText(key, this.#exact.of(row))));
  }
}

/** A column of the key of `row`, as SQLite compares it. */
export function collated({ name, collation }: FollowedTable["key"][number]): string {
  return `row.${quote(name)} COLLATE ${quote(collation)}`;
}

function ofKind({ key, nullRows, nullKey }: FollowedTable): string {
  const ofRow = (name: string): string => `row.${quote(name)}`;
  if (nullRows) return `NOT ${hasNull(key, ofRow)}`;
  return nullKey.length > 0 ? hasNull(nullKey, ofRow) : "1";
}

/** Rows come in order of their key, so one hash over their hashes will do. Also the key of the last. */
function digestOf(rows: Iterable<HashedRow>): Digest & { readonly last: readonly SqlValue[] | undefined } {
  const hashes: number[] = [];
  let last: readonly SqlValue[] | undefined;
  for (const { key, hash } of rows) {
    hashes.push(hash);
    last = key;
  }
  const bytes = new Uint8Array(new Float64Array(hashes).buffer);
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, DIGEST_CHARS);
  return { count: hashes.length, digest, last };
}
