/**
 * The application of the benchmark: writes rows, and notes when each transaction was committed and what it cost.
 * A process of its own; the order is a JSON text, its only argument, and its last line of output is the report.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { pause, SharedClock } from "./clock.ts";

export interface WriterOrder {
  readonly db: string;
  readonly table: string;
  readonly firstId: number;
  readonly rows: number;
  readonly rowsPerTransaction: number;
  /** Transactions a second; 0: as fast as it can. */
  readonly rate: number;
  /** Where the commit time of each row goes, as 64-bit floats; "" for nowhere. */
  readonly timesFile: string;
}

export interface WriterReport {
  /** Shared clock, ms. */
  readonly startedAt: number;
  readonly committedAt: number;
  /** From BEGIN to COMMIT, without the making of values. The first tenth, in which code is compiled, is left out. */
  readonly usPerRow: number;
  readonly transactionUs: { readonly p50: number; readonly p99: number; readonly max: number };
}

const WARM_UP_PART = 0.1;
const BUSY_TIMEOUT_MS = 30_000;

class Writer {
  readonly #order: WriterOrder;
  readonly #db: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #clock = new SharedClock();
  readonly #committed: Float64Array;
  readonly #costsUs: number[] = [];

  constructor(order: WriterOrder) {
    this.#order = order;
    this.#db = new DatabaseSync(order.db, { timeout: BUSY_TIMEOUT_MS });
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    this.#insert = this.#db.prepare(`INSERT INTO "${order.table}" VALUES (?, ?, ?, ?)`);
    this.#committed = new Float64Array(order.rows);
  }

  run(): WriterReport {
    const { rows, rowsPerTransaction, rate } = this.#order;
    const startedAt = this.#clock.now();
    for (let row = 0, transaction = 0; row < rows; row += rowsPerTransaction, transaction++) {
      if (rate > 0) this.#waitUntil(startedAt + transaction * 1000 / rate);
      this.#write(row, Math.min(rowsPerTransaction, rows - row));
    }
    this.#db.close();
    const committedAt = this.#committed.at(-1) ?? startedAt;
    return { startedAt, committedAt, usPerRow: this.#usPerRow(), transactionUs: this.#summary() };
  }

  writeTimes(): void {
    if (this.#order.timesFile === "") return;
    Deno.writeFileSync(this.#order.timesFile, new Uint8Array(this.#committed.buffer));
  }

  #waitUntil(time: number): void {
    for (let left = time - this.#clock.now(); left > 0; left = time - this.#clock.now()) pause(left);
  }

  /** A single row is a statement of its own, as most applications write it. */
  #write(row: number, count: number): void {
    const values = Array.from({ length: count }, (_, index) => rowValues(this.#order.firstId + row + index));
    const start = performance.now();
    if (count > 1) this.#db.exec("BEGIN IMMEDIATE");
    for (const each of values) this.#insert.run(...each);
    if (count > 1) this.#db.exec("COMMIT");
    this.#costsUs.push((performance.now() - start) * 1000);
    this.#committed.fill(this.#clock.now(), row, row + count);
  }

  #usPerRow(): number {
    const counted = this.#counted();
    return counted.reduce((sum, cost) => sum + cost, 0) / counted.length / this.#order.rowsPerTransaction;
  }

  #summary(): WriterReport["transactionUs"] {
    const sorted = this.#counted().sort((a, b) => a - b);
    const at = (part: number): number => sorted[Math.floor(part * (sorted.length - 1))] ?? 0;
    return { p50: at(0.5), p99: at(0.99), max: at(1) };
  }

  #counted(): number[] {
    return this.#costsUs.slice(Math.floor(this.#costsUs.length * WARM_UP_PART));
  }
}

/** The row that the design's first figures were measured with. */
function rowValues(id: number): SQLInputValue[] {
  return [BigInt(id), `name ${id} ${"x".repeat(40)}`, id * 0.5, crypto.getRandomValues(new Uint8Array(16))];
}

if (import.meta.main) {
  const writer = new Writer(JSON.parse(Deno.args[0] ?? "") as WriterOrder);
  const report = writer.run();
  writer.writeTimes();
  console.log(JSON.stringify(report));
}
