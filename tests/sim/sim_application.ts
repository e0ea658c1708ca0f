import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { changeLog, GLOBAL_LOG, valueColumn } from "../../src/schema/names.ts";
import { quote } from "../../src/sqlite/identifier.ts";

import type { Statement } from "./application_writes.ts";
import { columnsText, ofLog, ofTable, sameKeyText, type SimTable, versionsOf } from "./tables.ts";
import { Violation } from "./violation.ts";

/** A change as the triggers logged it. */
export interface LoggedWrite {
  readonly table: string;
  /** Equal for what SQLite takes for one key. */
  readonly key: string;
  readonly type: string;
  readonly ts: bigint;
  /** Whose change it is; undefined: this node's. */
  readonly node: bigint | undefined;
  readonly x: string | null;
  /** The row, exactly; undefined while the change log lags behind the table's columns. */
  readonly row: string | undefined;
  /** `x` of the row that it was made over. */
  over: string | null;
}

export interface Committed {
  readonly writes: readonly LoggedWrite[];
  readonly ledger: readonly NonNullable<Statement["ledger"]>[];
}

/** Values of the key columns of a row. */
export type SimKey = readonly (bigint | number | string | null)[];

/** What a table holds: row and its `x` by key. */
export type Image = ReadonlyMap<string, { readonly row: string; readonly x: string | null }>;

export interface SimApplicationOptions {
  readonly recursiveTriggers: boolean;
  /** What the clock of its machine says, Unix milliseconds. */
  readonly clock: () => number;
}

/** The type declarations of Deno 2.9.6 know the last two only on a statement. */
const OPTIONS = { enableForeignKeyConstraints: false, readBigInts: true, returnArrays: true };
const MS_PER_DAY = 86_400_000;
const JULIAN_1970 = 2440587.5;

/** What `julianday('now')` gives at a time: the one thing that our SQL asks about the clock. */
export function julianDay(unixMs: number): number {
  return unixMs / MS_PER_DAY + JULIAN_1970;
}

/**
 * The application of one node: a connection that knows nothing of replication. After each transaction it compares what
 * was captured with what has changed.
 */
export class SimApplication implements Disposable {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #options: SimApplicationOptions;
  #tables: readonly SimTable[];
  #captured = 0n;

  constructor(path: string, tables: readonly SimTable[], options: SimApplicationOptions) {
    this.#tables = tables;
    this.#db = new DatabaseSync(path, OPTIONS);
    this.#db.exec("PRAGMA synchronous = OFF");
    // Hides SQLite's own, so that the triggers see the clock of the node that they run on.
    this.#options = options;
    // Deno keeps the function for ever: without this all of a run would stay in memory with it.
    const self = new WeakRef(this);
    this.#db.function("julianday", { varargs: true }, () => julianDay(self.deref()!.#options.clock()));
    if (options.recursiveTriggers) this.#db.exec("PRAGMA recursive_triggers = ON");
  }

  /** The tables as they are now. */
  get tables(): readonly SimTable[] {
    return this.#tables;
  }

  /** Runs a transaction; statements that a constraint refuses do nothing, as in an application that catches the error. */
  transact(statements: readonly Statement[], rollBack: boolean): Committed {
    this.skipCaptured();
    const before = this.#images();
    this.#db.exec("BEGIN IMMEDIATE");
    const done = statements.filter(({ sql }) => this.#try(sql));
    this.#db.exec(rollBack ? "ROLLBACK" : "COMMIT");
    const writes = this.readCaptured();
    checkCaptured(before, this.#images(), writes);
    return { writes, ledger: rollBack ? [] : done.flatMap(({ ledger }) => ledger ?? []) };
  }

  /** Changes the schema; `level`: which change this is, which stays in the database. */
  alter(sql: string, tables: readonly SimTable[], level: number): void {
    this.#db.exec(`${sql}; PRAGMA user_version = ${level}`);
    this.#tables = tables;
  }

  /** How many schema changes the database has seen. */
  get level(): number {
    return Number(this.all("PRAGMA user_version")[0]![0]);
  }

  /** The tables are these, as the database has come from elsewhere. */
  useTables(tables: readonly SimTable[]): void {
    this.#tables = tables;
  }

  /** Keys of rows that are there, and of which the streams have spoken. */
  versionedKeys(table: SimTable): SimKey[] {
    const key = table.key.map(quote).join(", ");
    const isVersioned = table.key.map((name) => `${quote(valueColumn(name))} IS row.${quote(name)}`).join(
      " AND ",
    );
    return this.all(
      `SELECT ${key} FROM ${table.name} AS row
       WHERE EXISTS (SELECT 1 FROM ${versionsOf(table)} WHERE ts > 0 AND ${isVersioned}) ORDER BY ${key}`,
    ) as SimKey[];
  }

  hasRow({ name, key }: SimTable, values: SimKey): boolean {
    const isKey = key.map((column) => `${quote(column)} IS ?`).join(" AND ");
    return this.all(`SELECT 1 FROM ${name} WHERE ${isKey}`, ...values).length > 0;
  }

  /** A row goes, and nothing has seen it. */
  decay(table: SimTable, key: SimKey): void {
    const log = quote(changeLog(table.name));
    const last = (of: string): bigint => (this.all(`SELECT max(id) FROM ${of}`)[0]![0] ?? 0n) as bigint;
    const [lastChange, lastGlobal] = [last(log), last(quote(GLOBAL_LOG))];
    this.#db.exec("BEGIN IMMEDIATE");
    const isKey = table.key.map((name) => `${quote(name)} IS ?`).join(" AND ");
    this.all(`DELETE FROM ${table.name} WHERE ${isKey}`, ...key);
    this.all(`DELETE FROM ${log} WHERE id > ?`, lastChange);
    this.all(`DELETE FROM ${quote(GLOBAL_LOG)} WHERE id > ?`, lastGlobal);
    this.#db.exec("COMMIT");
  }

  /** Puts everything into the database file itself, so that it can be copied: nobody else is using it now. */
  checkpoint(): void {
    this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  all(sql: string, ...parameters: SQLInputValue[]): unknown[][] {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, statement = this.#db.prepare(sql));
    return statement.all(...parameters) as unknown as unknown[][];
  }

  /** What is captured from now on is new. */
  skipCaptured(): void {
    this.#captured = (this.all(`SELECT max(id) FROM ${quote(GLOBAL_LOG)}`)[0]![0] ?? 0n) as bigint;
  }

  #try(sql: string): boolean {
    try {
      this.#db.exec(sql);
      return true;
    } catch (error) {
      if (error instanceof Error && error.message.includes("constraint failed")) return false;
      throw error;
    }
  }

  /** The writes logged since then: those of a transaction, or what applying a message logged anew. */
  readCaptured(): LoggedWrite[] {
    return this.#logged(this.#captured);
  }

  /** The writes that are not known to be in the streams. */
  readPending(): LoggedWrite[] {
    return this.#logged(0n);
  }

  #logged(after: bigint): LoggedWrite[] {
    const rows = this.all(
      `SELECT change_table_id, table_name FROM ${quote(GLOBAL_LOG)} WHERE id > ? ORDER BY id`,
      after,
    ) as [bigint, string][];
    const selects = new Map<string, string>();
    return rows.flatMap(([id, name]) => {
      const select = selects.get(name) ?? this.#selectLogged(name);
      selects.set(name, select);
      // None for a change that housekeeping has removed.
      return (this.all(select, id) as [string, string, bigint, bigint | null, string | null, string | null][])
        .map(([key, type, ts, node, x, row]) => ({
          table: name,
          key,
          type,
          ts,
          node: node ?? undefined,
          x,
          row: row ?? undefined,
          over: null,
        }));
    });
  }

  #selectLogged(name: string): string {
    const table = this.#tables.find((each) => each.name === name)!;
    const log = changeLog(name);
    const columns = this.all(`SELECT name FROM pragma_table_info('${log}')`).map(([column]) => column);
    // Until the node has noticed a schema change its change log has other columns than the table.
    const isUpToDate = table.columns.every((column) => columns.includes(valueColumn(column)));
    const row = isUpToDate ? columnsText(table, ofLog) : "NULL";
    return `SELECT ${sameKeyText(table, ofLog)}, type, ts, node, val_x, ${row} FROM ${
      quote(log)
    } WHERE id = ?`;
  }

  #images(): Map<string, Image> {
    return new Map(this.#tables.map((table) => [table.name, this.image(table)]));
  }

  image(table: SimTable): Image {
    const rows = this.all(
      `SELECT ${sameKeyText(table, ofTable)}, ${columnsText(table, ofTable)}, x FROM ${table.name}`,
    ) as [string, string, string | null][];
    return new Map(rows.map(([key, row, x]) => [key, { row, x }]));
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

/** What was logged, done to the tables as they were, must give the tables as they are, and no delete may be made up. */
function checkCaptured(
  before: ReadonlyMap<string, Image>,
  after: ReadonlyMap<string, Image>,
  writes: readonly LoggedWrite[],
): void {
  const replayed = new Map([...before].map(([table, image]) => [table, new Map<string, ReplayedRow>(image)]));
  const touched = new Set<string>();
  for (const write of writes) {
    const { table, key, type, row, x } = write;
    const image = replayed.get(table)!;
    write.over = image.get(key)?.x ?? null;
    if (type !== "delete") image.set(key, { row, x });
    else if (!image.delete(key) && !touched.has(`${table} ${key}`)) {
      throw new Violation(`CAPTURE: a delete of ${table} (${key}) was logged, and there was no such row`);
    }
    touched.add(`${table} ${key}`);
  }
  for (const [table, image] of after) checkReplayed(table, image, replayed.get(table)!);
  for (let at = 1; at < writes.length; at++) {
    if (writes[at]!.ts <= writes[at - 1]!.ts) throw new Violation("CAPTURE: the clock stood still");
  }
}

interface ReplayedRow {
  /** Undefined when it cannot be told. */
  readonly row: string | undefined;
  readonly x: string | null;
}

function checkReplayed(table: string, image: Image, replayed: ReadonlyMap<string, ReplayedRow>): void {
  for (const key of new Set([...image.keys(), ...replayed.keys()])) {
    const [is, was] = [image.get(key), replayed.get(key)];
    if (is?.x === was?.x && (was?.row ?? is?.row) === is?.row) continue;
    throw new Violation(`CAPTURE: ${table} (${key}) is ${is?.row}, what was logged says ${was?.row}`);
  }
}
