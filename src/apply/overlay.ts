import type { Database } from "../sqlite/database.ts";
import { quote } from "../sqlite/identifier.ts";
import { changeLog, GLOBAL_LOG, POSITION, valueColumn } from "../schema/names.ts";
import type { FollowedTable, Schema } from "../schema/followed_tables.ts";
import { keyText } from "./key_text.ts";

/** An own change that has not come back from its stream yet. */
export interface OwnChange {
  /** Row id in its table's change log. */
  readonly id: bigint;
  /** Hybrid clock, Unix nanoseconds. */
  readonly ts: bigint;
}

/** How many rows are kept in memory before they move to a temporary table on disk. */
const MAX_KEYS_IN_MEMORY = 50_000;
/** Rows read at a time when the overlay is loaded. */
const LOAD_ROWS = 1000n;
const TEMP = "temp.harmonylite_overlay";

/**
 * The newest own change of each row that is still on its way: what an older remote change must not show over.
 *
 * Truth is the change logs; this is an index of them, so that the triggers need not keep one (an index on a change log
 * costs the application 20 µs a write, measured). Changes are added in the write transaction that looks for them: the
 * lock is held, so nothing can be missing. After a transaction that was rolled back, `reload` must follow.
 */
export class Overlay {
  readonly #database: Database;
  #schema: Schema;
  #memory = new Map<string, Map<string, OwnChange>>();
  #size = 0;
  /** How many keys the temporary table holds. */
  #spilled = 0;
  /** Last row of the global log that was taken in; undefined when everything has to be loaded. */
  #takenTo: bigint | undefined;

  constructor(database: Database, schema: Schema) {
    this.#database = database;
    this.#schema = schema;
    database.exec(
      `CREATE TEMP TABLE harmonylite_overlay (table_name, key, id, ts, PRIMARY KEY (table_name, key)) WITHOUT ROWID`,
    );
  }

  get isEmpty(): boolean {
    return this.#size + this.#spilled === 0;
  }

  use(schema: Schema): void {
    if (schema === this.#schema) return;
    this.#schema = schema;
    this.reload();
  }

  /** Forgets what is known; the next `takeIn` loads it again. */
  reload(): void {
    this.#takenTo = undefined;
  }

  /** Adds what was captured since the last time; inside a write transaction. */
  takeIn(): void {
    const last = this.#database.value("SELECT seq FROM sqlite_sequence WHERE name = ?", GLOBAL_LOG);
    const end = typeof last === "bigint" ? last : 0n;
    if (this.#takenTo === undefined || end < this.#takenTo) return this.#load(end);
    if (end === this.#takenTo) return;
    const ranges = this.#database.all(
      `SELECT table_name, min(change_table_id), max(change_table_id) FROM ${quote(GLOBAL_LOG)}
       WHERE id > ? GROUP BY table_name`,
      this.#takenTo,
    );
    for (const [name, first, to] of ranges) {
      const table = this.#schema.tables.get(String(name));
      if (table) this.#addRange(table, first as bigint, to as bigint);
    }
    this.#takenTo = end;
  }

  /** The newest own change of a row that is still on its way. */
  newest(table: FollowedTable, key: string): OwnChange | undefined {
    const own = this.#memory.get(table.name)?.get(key);
    if (own || this.#spilled === 0) return own;
    const row = this.#database.get(
      `SELECT id, ts FROM ${TEMP} WHERE table_name = ? AND key = ?`,
      table.name,
      key,
    );
    return row && { id: row[0] as bigint, ts: row[1] as bigint };
  }

  /** An own change has come back: the row is no longer held by it. */
  settle(table: FollowedTable, key: string, id: bigint): void {
    const own = this.newest(table, key);
    if (own?.id !== id) return;
    if (this.#memory.get(table.name)?.delete(key)) this.#size--;
    if (this.#spilled === 0) return;
    this.#spilled -= this.#database.run(
      `DELETE FROM ${TEMP} WHERE table_name = ? AND key = ?`,
      table.name,
      key,
    );
  }

  #load(end: bigint): void {
    this.#memory.clear();
    this.#size = 0;
    this.#spilled = 0;
    this.#database.exec(`DELETE FROM ${TEMP}`);
    for (const table of this.#schema.tables.values()) {
      const first = this.#database.value(
        `SELECT min(id) FROM ${quote(changeLog(table.name))} AS log WHERE ${ON_ITS_WAY}`,
      );
      if (typeof first === "bigint") this.#addRange(table, first, 2n ** 63n - 1n);
    }
    this.#takenTo = end;
  }

  #addRange(table: FollowedTable, first: bigint, to: bigint): void {
    const sql = selectKeys(table);
    for (let from = first; from <= to;) {
      const rows = this.#database.all(sql, from, to, LOAD_ROWS);
      for (const [id, ts, ...values] of rows) {
        this.#add(table.name, keyText(table.key, values), { id: id as bigint, ts: ts as bigint });
      }
      const last = rows.at(-1)?.[0];
      if (typeof last !== "bigint" || rows.length < Number(LOAD_ROWS)) return;
      from = last + 1n;
    }
  }

  #add(table: string, key: string, own: OwnChange): void {
    let keys = this.#memory.get(table);
    if (!keys) this.#memory.set(table, keys = new Map());
    if (!keys.has(key)) this.#size++;
    keys.set(key, own);
    if (this.#size > MAX_KEYS_IN_MEMORY) this.#spill();
  }

  #spill(): void {
    for (const [table, keys] of this.#memory) {
      for (const [key, { id, ts }] of keys) {
        this.#database.run(`INSERT OR REPLACE INTO ${TEMP} VALUES (?, ?, ?, ?)`, table, key, id, ts);
      }
    }
    this.#memory.clear();
    this.#size = 0;
    this.#spilled = this.#database.count(`SELECT count(*) FROM ${TEMP}`);
  }
}

/**
 * Condition on `log`, a change log: its stream is not applied beyond the change. The position of a change is known once it
 * is acknowledged; one without a position that has come back all the same is found out when it is sent again.
 */
export const ON_ITS_WAY = `(log.sequence IS NULL OR log.sequence > coalesce(
    (SELECT max(position.sequence) FROM ${
  quote(POSITION)
} AS position WHERE position.shard = log.shard), 0))`;

function selectKeys(table: FollowedTable): string {
  const columns = table.key.map((column) => quote(valueColumn(column.name))).join(", ");
  return `SELECT id, ts, ${columns} FROM ${quote(changeLog(table.name))} AS log
    WHERE id BETWEEN ? AND ? AND ${ON_ITS_WAY} ORDER BY id LIMIT ?`;
}
