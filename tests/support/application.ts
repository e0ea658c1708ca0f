/**
 * An application: a program that writes to its SQLite database and has never heard of HarmonyLite.
 *
 *     deno run -A tests/support/application.ts --db shop.db --seed 1 --first-id 1000000 --rate 200 --duration-ms 5000
 *
 * It creates its tables if needed, writes a seeded mix of inserts, updates and deletes, and stops after `--count`
 * transactions, after `--duration-ms`, or on SIGTERM, whichever is first. Its last line of standard output is a
 * {@link ApplicationReport} in JSON.
 */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";

export const APPLICATION_SCHEMA = `
CREATE TABLE IF NOT EXISTS customers (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, balance REAL, visits INTEGER DEFAULT 0, updated_at DATETIME);
CREATE TABLE IF NOT EXISTS orders (
  shop TEXT NOT NULL, number INTEGER NOT NULL, customer_id INTEGER, total NUMERIC, note,
  PRIMARY KEY (shop, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS "audit trail" (
  id TEXT PRIMARY KEY, "order" TEXT, payload BLOB, seen BOOLEAN);
`;

export interface ApplicationOptions {
  readonly db: string;
  /** The same seed writes the same rows. Default 1. */
  readonly seed?: number;
  /** Transactions a second; 0, the default, is as fast as it can. */
  readonly rate?: number;
  /** Transactions to write; 0, the default, is no limit. */
  readonly count?: number;
  /** Default 0: no limit. */
  readonly durationMs?: number;
  /** Where the ids of its own rows start; give each application its own range. Default 1. */
  readonly firstId?: number;
  /** Default 1. */
  readonly rowsPerTransaction?: number;
  /** Part of the writes, 0 to 1, that go to the rows 1 … `sharedIds`, which all applications write. Default 0. */
  readonly sharedPart?: number;
  /** Default 50. */
  readonly sharedIds?: number;
  /** Parts of the writes that are updates and deletes; the rest are inserts. Default 0.3 and 0.1. */
  readonly updatePart?: number;
  readonly deletePart?: number;
}

/** What was written: changes of rows that took effect, and what it cost the application. */
export interface ApplicationReport {
  readonly transactions: number;
  readonly inserts: number;
  readonly updates: number;
  readonly deletes: number;
  /** Transactions that failed, and were given up. */
  readonly errors: number;
  readonly lastError: string | null;
  readonly elapsedMs: number;
  /** Duration of a transaction, from BEGIN to COMMIT. */
  readonly transactionMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

const DEFAULTS: Required<ApplicationOptions> = {
  db: "",
  seed: 1,
  rate: 0,
  count: 0,
  durationMs: 0,
  firstId: 1,
  rowsPerTransaction: 1,
  sharedPart: 0,
  sharedIds: 50,
  updatePart: 0.3,
  deletePart: 0.1,
};

const BUSY_TIMEOUT_MS = 10_000;
/** At full speed the event loop, and with it SIGTERM, gets its turn after this many transactions. */
const TURN_TRANSACTIONS = 50;
const MAX_SAMPLES = 1_000_000;

const TABLES = ["customers", "orders", "audit trail"] as const;
type Table = typeof TABLES[number];
type Operation = "inserts" | "updates" | "deletes";
/** Upserts, as a conflicting insert of a shared row must not fail. */
const SQL: Record<Table, Record<Operation, string>> = {
  "customers": {
    inserts: `INSERT INTO customers VALUES (:id, :text, :real, :integer, :date)
      ON CONFLICT (id) DO UPDATE SET name = excluded.name, balance = excluded.balance`,
    updates: `UPDATE customers SET balance = :real, visits = visits + 1, updated_at = :date WHERE id = :id`,
    deletes: `DELETE FROM customers WHERE id = :id`,
  },
  "orders": {
    inserts: `INSERT INTO orders VALUES ('shop', :id, :integer, :real, :any)
      ON CONFLICT (shop, number) DO UPDATE SET total = excluded.total, note = excluded.note`,
    updates: `UPDATE orders SET total = :real, note = :any WHERE shop = 'shop' AND number = :id`,
    deletes: `DELETE FROM orders WHERE shop = 'shop' AND number = :id`,
  },
  "audit trail": {
    inserts: `INSERT INTO "audit trail" VALUES ('a' || CAST(:id AS INTEGER), :text, :blob, :boolean)
      ON CONFLICT (id) DO UPDATE SET payload = excluded.payload, seen = excluded.seen`,
    updates:
      `UPDATE "audit trail" SET payload = :blob, seen = :boolean WHERE id = 'a' || CAST(:id AS INTEGER)`,
    deletes: `DELETE FROM "audit trail" WHERE id = 'a' || CAST(:id AS INTEGER)`,
  },
};

class Application {
  readonly #options: Required<ApplicationOptions>;
  readonly #db: DatabaseSync;
  readonly #random: () => number;
  readonly #statements = new Map<string, ReturnType<DatabaseSync["prepare"]>>();
  readonly #ownIds: Record<Table, number[]> = { "customers": [], "orders": [], "audit trail": [] };
  readonly #counts = { transactions: 0, inserts: 0, updates: 0, deletes: 0, errors: 0 };
  readonly #samples: number[] = [];
  #nextId: number;
  #lastError: string | null = null;

  constructor(options: Required<ApplicationOptions>) {
    this.#options = options;
    this.#random = mulberry32(options.seed);
    this.#nextId = options.firstId;
    this.#db = new DatabaseSync(options.db, { timeout: BUSY_TIMEOUT_MS });
    this.#db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; ${APPLICATION_SCHEMA}`);
  }

  async run(signal: AbortSignal): Promise<ApplicationReport> {
    const { rate, count, durationMs } = this.#options;
    const start = performance.now();
    for (let done = 0; count === 0 || done < count; done++) {
      if (signal.aborted || (durationMs > 0 && performance.now() - start >= durationMs)) break;
      const waitMs = rate > 0 ? start + done * 1000 / rate - performance.now() : 0;
      if (waitMs >= 1 || done % TURN_TRANSACTIONS === 0) await sleep(Math.max(0, waitMs), signal);
      if (signal.aborted) break;
      this.#transaction();
    }
    this.#db.close();
    const elapsedMs = performance.now() - start;
    return { ...this.#counts, lastError: this.#lastError, elapsedMs, transactionMs: summary(this.#samples) };
  }

  #transaction(): void {
    const start = performance.now();
    const done = { inserts: 0, updates: 0, deletes: 0 };
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      for (let row = 0; row < this.#options.rowsPerTransaction; row++) {
        const [operation, changes] = this.#write();
        done[operation] += changes;
      }
      this.#db.exec("COMMIT");
      this.#counts.transactions++;
      for (const operation of ["inserts", "updates", "deletes"] as const) {
        this.#counts[operation] += done[operation];
      }
    } catch (error) {
      this.#counts.errors++;
      this.#lastError = error instanceof Error ? error.message : String(error);
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
    }
    if (this.#samples.length < MAX_SAMPLES) this.#samples.push(performance.now() - start);
  }

  #write(): [Operation, number] {
    const table = this.#pick(TABLES);
    const operation = this.#operation();
    const id = this.#chooseId(table, operation);
    const result = this.#statement(SQL[table][operation]).run(this.#values(id));
    return [operation, Number(result.changes)];
  }

  #operation(): Operation {
    const dice = this.#random();
    if (dice < this.#options.deletePart) return "deletes";
    return dice < this.#options.deletePart + this.#options.updatePart ? "updates" : "inserts";
  }

  #chooseId(table: Table, operation: Operation): number {
    const { sharedPart, sharedIds } = this.#options;
    if (this.#random() < sharedPart) return 1 + Math.floor(this.#random() * sharedIds);
    const own = this.#ownIds[table];
    const index = Math.floor(this.#random() * own.length);
    const known = own[index];
    if (operation === "inserts" || known === undefined) {
      own.push(this.#nextId);
      return this.#nextId++;
    }
    if (operation === "deletes") own.splice(index, 1, ...own.splice(-1).filter((last) => last !== known));
    return known;
  }

  /** Values of all kinds, awkward ones among them. Integers are given as BigInt, as `node:sqlite` binds a number as REAL. */
  #values(id: number): Record<string, SQLInputValue> {
    const n = Math.floor(this.#random() * 1e9);
    return {
      id: BigInt(id),
      text: `name ${n} ’${"x".repeat(n % 40)}`,
      real: this.#random() < 0.2 ? n : n / 7,
      integer: this.#random() < 0.05 ? 9223372036854775807n : BigInt(n),
      date: new Date(1.6e12 + n * 1000).toISOString(),
      any: this.#pick([null, BigInt(n), n + 0.5, `note ${n}`, "", new Uint8Array([n & 255])]),
      blob: new Uint8Array(n % 64).fill(n & 255),
      boolean: BigInt(n & 1),
    };
  }

  #statement(sql: string): ReturnType<DatabaseSync["prepare"]> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      statement.setAllowUnknownNamedParameters(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #pick<T>(values: readonly T[]): T {
    return values[Math.floor(this.#random() * values.length)] as T;
  }
}

/** A small seeded generator of numbers in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const stop = (): void => {
    clearTimeout(timer);
    resolve();
  };
  signal.addEventListener("abort", stop, { once: true });
  return promise.finally(() => signal.removeEventListener("abort", stop));
}

function summary(samples: readonly number[]): ApplicationReport["transactionMs"] {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.floor(part * (sorted.length - 1))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** The command line for the options: `rowsPerTransaction: 5` becomes `--rows-per-transaction 5`. */
export function applicationArguments(options: ApplicationOptions): string[] {
  return Object.entries(options).flatMap(([name, value]) => [flagOf(name), String(value)]);
}

function parseArguments(args: readonly string[]): Required<ApplicationOptions> {
  const options: Record<string, string | number> = { ...DEFAULTS };
  for (let i = 0; i < args.length; i += 2) {
    const name = Object.keys(DEFAULTS).find((key) => flagOf(key) === args[i]);
    if (name === undefined) {
      throw new Error(`Cannot use "${args[i]}": known are ${Object.keys(DEFAULTS).map(flagOf)}`);
    }
    options[name] = name === "db" ? args[i + 1] ?? "" : Number(args[i + 1]);
  }
  if (options["db"] === "") throw new Error("Cannot write: --db names no file");
  return options as unknown as Required<ApplicationOptions>;
}

function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

if (import.meta.main) {
  const stopped = new AbortController();
  const stop = (): void => stopped.abort();
  Deno.addSignalListener("SIGTERM", stop);
  Deno.addSignalListener("SIGINT", stop);
  const application = new Application(parseArguments(Deno.args));
  console.log("writing");
  console.log(JSON.stringify(await application.run(stopped.signal)));
  Deno.removeSignalListener("SIGTERM", stop);
  Deno.removeSignalListener("SIGINT", stop);
}
