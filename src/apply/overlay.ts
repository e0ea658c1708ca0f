import { changeLog, POSITION, valueColumn } from "../schema/names.ts";
import type { FollowedTable } from "../schema/followed_tables.ts";
import { ofKind } from "../schema/row_conditions.ts";
import type { Database, Row, Statement } from "../sqlite/database.ts";
import { ExactRow, hasNul, mayBeDamaged } from "../sqlite/exact_row.ts";
import { quote } from "../sqlite/identifier.ts";
import { keyText } from "./key_text.ts";

/** An own change that has not come back from its stream yet. */
export interface OwnChange {
  /** Row id in its table's change log. */
  readonly id: bigint;
  /** Hybrid clock, Unix nanoseconds. */
  readonly ts: bigint;
}

/** What is known of one kind of rows of a table. */
interface TableOverlay {
  readonly changeLog: string;
  /** The newest own change of each row that is on its way; of those in `SPILL` only what is newer. */
  readonly keys: Map<string, OwnChange>;
  readonly select: Statement;
  /** The key in one row of the change log. */
  readonly exactKey: ExactRow;
  /** Last row of the change log that was taken in. */
  takenTo: bigint;
  /** The transaction in which it was brought up to date last. */
  upToDateIn: number;
  /** Whether some keys are on disk. */
  spilled: boolean;
}

/** How many rows of a table are kept in memory before they move to a temporary table. */
const MAX_KEYS_IN_MEMORY = 50_000;
/** Rows of a change log that are read at a time. */
const ROWS_AT_A_TIME = 512;

const SPILL = "temp.harmonylite_overlay";
const CREATE_SPILL = `CREATE TABLE IF NOT EXISTS ${SPILL}
  (version_table, key, id, ts, PRIMARY KEY (version_table, key)) WITHOUT ROWID`;
const SELECT_SPILLED = `SELECT id, ts FROM ${SPILL} WHERE version_table = ? AND key = ?`;
const INSERT_SPILLED = `INSERT OR REPLACE INTO ${SPILL} VALUES (?, ?, ?, ?)`;
const DELETE_SPILLED = `DELETE FROM ${SPILL} WHERE version_table = ?`;

/**
 * The newest own change of each row that is still on its way: what an older remote change must not show over.
 *
 * Truth is the change logs; this is an index of them, so that the triggers need not keep one (an index on a change log
 * costs the application some 20 µs a write, measured). A table is brought up to date when it is first asked for in a write
 * transaction: the lock is held, so nothing can be missing. A change that has come back but is still listed is found out
 * when it is asked for; until it is marked as sent it does no harm, as whatever is accepted then is newer than it. After a
 * transaction that was rolled back `reload` must follow.
 */
export class Overlay {
  readonly #database: Database;
  readonly #tables = new Map<string, TableOverlay>();
  #transaction = 0;
  #reached = { shard: 0n, sequence: 0n };

  constructor(database: Database) {
    this.#database = database;
  }

  /** To be called at the beginning of every write transaction that uses the overlay. */
  begin(): void {
    this.#transaction++;
  }

  /** The message that is being applied: own changes before it have come back. */
  reach(shard: number, sequence: number): void {
    this.#reached = { shard: BigInt(shard), sequence: BigInt(sequence) };
  }

  /** Forgets what is known: it is read again when it is asked for. */
  reload(): void {
    for (const [versionTable, { spilled }] of this.#tables) {
      if (spilled) this.#database.run(DELETE_SPILLED, versionTable);
    }
    this.#tables.clear();
  }

  /** Goes back to memory when few enough changes are on their way. */
  shrink(): void {
    for (const [versionTable, { spilled, changeLog }] of this.#tables) {
      if (!spilled || this.#countOnTheirWay(changeLog) > MAX_KEYS_IN_MEMORY / 2) continue;
      this.#database.run(DELETE_SPILLED, versionTable);
      this.#tables.delete(versionTable);
    }
  }

  /** Whether no own change of a table is on its way. */
  isEmpty(table: FollowedTable): boolean {
    const { keys, spilled } = this.#upToDate(table);
    return keys.size === 0 && !spilled;
  }

  /** The newest own change of a row that is on its way. */
  newest(table: FollowedTable, key: string): OwnChange | undefined {
    const overlay = this.#upToDate(table);
    const own = overlay.keys.get(key) ?? this.#spilled(table, overlay, key);
    return own && this.#isOnItsWay(overlay, own) ? own : undefined;
  }

  #spilled({ versionTable }: FollowedTable, { spilled }: TableOverlay, key: string): OwnChange | undefined {
    if (!spilled) return undefined;
    const row = this.#database.get(SELECT_SPILLED, versionTable, key) as [bigint, bigint] | undefined;
    return row && { id: row[0], ts: row[1] };
  }

  /**
   * A change that came back before its table was asked for is listed for as long as this process lives. Once a newer
   * delete of its row has expired, an older change is accepted over it, on all nodes alike.
   */
  #isOnItsWay({ changeLog }: TableOverlay, { id }: OwnChange): boolean {
    const { shard, sequence } = this.#reached;
    const condition = `${ON_ITS_WAY} AND (log.shard IS NOT ? OR log.sequence >= ?)`;
    return this.#database.get(
      `SELECT 1 FROM ${changeLog} AS log WHERE id = ? AND ${condition}`,
      id,
      shard,
      sequence,
    ) !== undefined;
  }

  /** An own change has come back. */
  settle(table: FollowedTable, key: () => string, id: bigint): void {
    const overlay = this.#tables.get(table.versionTable);
    if (!overlay || overlay.keys.size === 0) return;
    const text = key();
    if (overlay.keys.get(text)?.id === id) overlay.keys.delete(text);
  }

  #upToDate(table: FollowedTable): TableOverlay {
    let overlay = this.#tables.get(table.versionTable);
    if (!overlay) {
      const select = this.#database.prepare(selectKeys(table));
      const log = quote(changeLog(table.name));
      overlay = {
        changeLog: log,
        keys: new Map(),
        select,
        exactKey: new ExactRow(this.#database, keyColumns(table), `${log} AS log WHERE id = ?`),
        takenTo: 0n,
        upToDateIn: 0,
        spilled: false,
      };
      this.#tables.set(table.versionTable, overlay);
    }
    if (overlay.upToDateIn !== this.#transaction) this.#takeIn(table, overlay);
    return overlay;
  }

  /** Adds what was captured since the last time. */
  #takeIn(table: FollowedTable, overlay: TableOverlay): void {
    overlay.upToDateIn = this.#transaction;
    const newest = this.#database.value(`SELECT max(id) FROM ${overlay.changeLog}`);
    // Someone has emptied the change log by hand, and ids begin anew.
    if (typeof newest !== "bigint" || newest < overlay.takenTo) overlay.takenTo = 0n;
    if (newest === overlay.takenTo) return;
    for (;;) {
      const rows = overlay.select.all(overlay.takenTo, BigInt(ROWS_AT_A_TIME)) as unknown as Row[];
      for (const [id, ts, isCut, ...read] of rows) {
        const key = isCut !== 0n || mayBeDamaged(read) ? overlay.exactKey.get(id!) : read;
        overlay.keys.set(keyText(table.key, key), { id: id as bigint, ts: ts as bigint });
      }
      if (overlay.keys.size > MAX_KEYS_IN_MEMORY) this.#spill(table.versionTable, overlay);
      if (rows.length < ROWS_AT_A_TIME) break;
      overlay.takenTo = rows.at(-1)![0] as bigint;
    }
    if (typeof newest === "bigint") overlay.takenTo = newest;
  }

  #spill(versionTable: string, overlay: TableOverlay): void {
    this.#database.exec(CREATE_SPILL);
    for (const [key, { id, ts }] of overlay.keys) {
      this.#database.run(INSERT_SPILLED, versionTable, key, id, ts);
    }
    overlay.keys.clear();
    overlay.spilled = true;
  }

  #countOnTheirWay(log: string): number {
    return this.#database.count(
      `SELECT count(*) FROM (SELECT 1 FROM ${log} AS log WHERE ${ON_ITS_WAY} LIMIT ?)`,
      BigInt(MAX_KEYS_IN_MEMORY),
    );
  }
}

/**
 * Condition on `log`, a change log: it will be sent, and its stream is not applied beyond it. The position of a change is
 * known once it is acknowledged; one without a position that has come back all the same is found out when it is sent again.
 */
export const ON_ITS_WAY = `(log.state IS NOT -1 AND (log.sequence IS NULL OR log.sequence > coalesce(
    (SELECT max(position.sequence) FROM ${
  quote(POSITION)
} AS position WHERE position.shard = log.shard), 0)))`;

function ofLog(column: string): string {
  return `log.${quote(valueColumn(column))}`;
}

function keyColumns(table: FollowedTable): string[] {
  return table.key.map(({ name }) => ofLog(name));
}

function selectKeys(table: FollowedTable): string {
  const columns = keyColumns(table);
  return `SELECT id, ts, ${hasNul(columns)}, ${columns.join(", ")} FROM ${quote(changeLog(table.name))} AS log
    WHERE id > ? AND ${ON_ITS_WAY}${ofKind(table, ofLog)} ORDER BY id LIMIT ?`;
}
