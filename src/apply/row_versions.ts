import type { FollowedTable } from "../schema/followed_tables.ts";
import type { Database, Statement } from "../sqlite/database.ts";
import { type ChangeEvent, RawText, type SqlValue } from "../wire/event.ts";
import {
  acceptVersion,
  bindable,
  keyParameters,
  markVersion,
  removeVersion,
  selectVersion,
  setVersion,
} from "./row_sql.ts";
import type { Version } from "./version.ts";

/** The time of a stream when an event is folded in: the same on every node that reads it. */
export interface StreamTime {
  /** Highest time of a message so far, Unix nanoseconds. */
  readonly highest: bigint;
  /** Tombstones from before this count as absent. */
  readonly expired: bigint;
}

export interface StoredVersion extends Version {
  /** Of a tombstone the stream time of its message, Unix nanoseconds; 0 for a row that is there, or was displaced. */
  readonly deleted: bigint;
}

interface Statements {
  readonly accept: Statement;
  readonly select: Statement;
  readonly mark: Statement;
  readonly set: Statement;
  readonly remove: Statement;
}

/** What the streams have decided on for each row. All methods run inside a write transaction. */
export class RowVersions {
  readonly #database: Database;
  readonly #statements = new Map<string, Statements>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** To be called when the schema has changed. */
  reset(): void {
    this.#statements.clear();
  }

  /** Stores the version of an event if it is above the stored one, and says whether it was. */
  accept(table: FollowedTable, key: readonly SqlValue[], event: ChangeEvent, time: StreamTime): boolean {
    const deleted = event.type === "delete" ? time.highest : 0n;
    const version = [event.ts!, event.node, BigInt(event.hash), deleted, time.expired];
    return this.#database.change(this.#of(table, key).accept, [...key.map(bindable), ...version]) === 1;
  }

  /** Undefined for a row that the streams never spoke of. */
  get(table: FollowedTable, key: readonly SqlValue[]): StoredVersion | undefined {
    const row = this.#of(table, key).select.get(...key.map(bindable)) as unknown as bigint[] | undefined;
    return row && { ts: row[0]!, node: row[1]!, hash: Number(row[2]), deleted: row[3]! };
  }

  /** A row that is gone without a version leaves a mark, so that all nodes remember that it was there. */
  mark(table: FollowedTable, key: readonly SqlValue[]): void {
    this.#of(table, key).mark.run(...key.map(bindable));
  }

  /** Whatever is stored; undefined removes it. */
  set(table: FollowedTable, key: readonly SqlValue[], version: StoredVersion | undefined): void {
    const { set, remove } = this.#of(table, key);
    const values = key.map(bindable);
    if (!version) return void remove.run(...values);
    set.run(...values, version.ts, version.node, BigInt(version.hash), version.deleted);
  }

  #of(table: FollowedTable, key: readonly SqlValue[]): Statements {
    const isRaw = key.some((value) => value instanceof RawText);
    const name = isRaw ? `${table.versionTable}\0${keyParameters(key)}` : table.versionTable;
    let statements = this.#statements.get(name);
    if (!statements) {
      const prepare = (sql: (table: FollowedTable, parameters: readonly string[]) => string): Statement =>
        this.#database.prepare(sql(table, keyParameters(key)));
      statements = {
        accept: prepare(acceptVersion),
        select: prepare(selectVersion),
        mark: prepare(markVersion),
        set: prepare(setVersion),
        remove: prepare(removeVersion),
      };
      this.#statements.set(name, statements);
    }
    return statements;
  }
}
