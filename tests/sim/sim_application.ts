import { DatabaseSync } from "node:sqlite";
import { changeLog, GLOBAL_LOG } from "../../src/schema/names.ts";
import { quote } from "../../src/sqlite/identifier.ts";
import type { Statement } from "./application_writes.ts";
import { columnsText, LEDGER, ofLog, ofTable, sameKeyText, SIM_TABLES, type SimTable } from "./tables.ts";

/** A change as the triggers logged it. */
export interface LoggedWrite {
  readonly table: string;
  /** Equal for what SQLite takes for one key. */
  readonly key: string;
  readonly type: string;
  readonly ts: bigint;
  readonly x: string | null;
  /** The row, exactly. */
  readonly row: string;
  /** `x` of the row that it was made over. */
  over: string | null;
}

export interface Committed {
  readonly writes: readonly LoggedWrite[];
  readonly ledger: readonly NonNullable<Statement["ledger"]>[];
}

type Image = Map<string, { row: string; x: string | null }>;

/** The type declarations of Deno 2.9.6 know the last two only on a statement. */
const OPTIONS = { enableForeignKeyConstraints: false, readBigInts: true, returnArrays: true };
const ALL_TABLES = [...SIM_TABLES, LEDGER];

/**
 * The application of one node: a connection that knows nothing of replication. After each transaction it compares what
 * was captured with what has changed.
 */
export class SimApplication implements Disposable {
  readonly #db: DatabaseSync;
  #captured = 0n;

  constructor(path: string, options: { recursiveTriggers: boolean }) {
    this.#db = new DatabaseSync(path, OPTIONS);
    this.#db.exec("PRAGMA synchronous = OFF; PRAGMA trusted_schema = OFF");
    if (options.recursiveTriggers) this.#db.exec("PRAGMA recursive_triggers = ON");
  }

  /**
   * Runs a transaction; statements that a constraint refuses do nothing, as in an application that catches the error.
   * `clock`: what the node's clock says now, at least; the triggers cannot be given a wall clock.
   */
  transact(statements: readonly Statement[], clock: bigint, rollBack: boolean): Committed {
    this.skipCaptured();
    const before = this.#images();
    this.#db.exec("BEGIN IMMEDIATE");
    this.#db.exec(
      `INSERT INTO "__harmonylite___clock" (id, ts) VALUES (1, ${clock})
       ON CONFLICT (id) DO UPDATE SET ts = max(ts, excluded.ts)`,
    );
    const done = statements.filter(({ sql }) => this.#try(sql));
    this.#db.exec(rollBack ? "ROLLBACK" : "COMMIT");
    const writes = this.readCaptured();
    checkCaptured(before, this.#images(), writes);
    return { writes, ledger: rollBack ? [] : done.flatMap(({ ledger }) => ledger ?? []) };
  }

  exec(sql: string): void {
    this.#db.exec(sql);
  }

  column(sql: string): string[] {
    return this.#all(sql).map(([value]) => String(value));
  }

  all(sql: string): unknown[][] {
    return this.#all(sql);
  }

  /** What is captured from now on is new. */
  skipCaptured(): void {
    this.#captured = (this.#all(`SELECT max(id) FROM ${quote(GLOBAL_LOG)}`)[0]![0] ?? 0n) as bigint;
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

  #all(sql: string): unknown[][] {
    return this.#db.prepare(sql).all() as unknown as unknown[][];
  }

  /** The writes logged since then: those of a transaction, or what applying a message logged anew. */
  readCaptured(): LoggedWrite[] {
    const rows = this.#all(
      `SELECT id, change_table_id, table_name FROM ${
        quote(GLOBAL_LOG)
      } WHERE id > ${this.#captured} ORDER BY id`,
    ) as [bigint, bigint, string][];
    return rows.map(([, id, name]) => {
      const table = ALL_TABLES.find((each) => each.name === name)!;
      const [row] = this.#all(
        `SELECT ${sameKeyText(table, ofLog)}, type, ts, val_x, ${columnsText(table, ofLog)}
         FROM ${quote(changeLog(name))} WHERE id = ${id}`,
      ) as [string, string, bigint, string | null, string][];
      const [key, type, ts, x, text] = row!;
      return { table: name, key, type, ts, x, row: text, over: null };
    });
  }

  #images(): Map<string, Image> {
    return new Map(ALL_TABLES.map((table) => [table.name, this.image(table)]));
  }

  /** What a table holds, by key. */
  image(table: SimTable): Image {
    const rows = this.#all(
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
  before: Map<string, Image>,
  after: Map<string, Image>,
  writes: readonly LoggedWrite[],
): void {
  const touched = new Set<string>();
  for (const write of writes) {
    const { table, key, type, row, x } = write;
    const image = before.get(table)!;
    write.over = image.get(key)?.x ?? null;
    if (type !== "delete") image.set(key, { row, x });
    else if (!image.delete(key) && !touched.has(`${table} ${key}`)) {
      throw new Error(`CAPTURE: a delete of ${table} (${key}) was logged, and there was no such row`);
    }
    touched.add(`${table} ${key}`);
  }
  for (const [table, image] of after) {
    const replayed = before.get(table)!;
    for (const key of new Set([...image.keys(), ...replayed.keys()])) {
      const [is, was] = [image.get(key)?.row, replayed.get(key)?.row];
      if (is !== was) throw new Error(`CAPTURE: ${table} (${key}) is ${is}, what was logged says ${was}`);
    }
  }
  for (let at = 1; at < writes.length; at++) {
    if (writes[at]!.ts <= writes[at - 1]!.ts) throw new Error("CAPTURE: the clock stood still");
  }
}
