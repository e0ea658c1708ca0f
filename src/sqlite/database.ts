import { constants, DatabaseSync, type StatementSync } from "node:sqlite";
import { DatabaseError, messageOf } from "../lib/errors.ts";
import { Mutex } from "../lib/mutex.ts";
import { sleep } from "../lib/sleep.ts";
import { type BackupOptions, copyDatabase } from "./backup.ts";

/** What a statement takes: the storage classes of SQLite, with INTEGER as bigint and REAL as number. */
export type Parameter = null | bigint | number | string | Uint8Array;

/** One result row: its columns in order. INTEGER comes as bigint, REAL as number. */
export type Row = Parameter[];

export type Statement = StatementSync;

/** Decides what becomes of a step of a statement while it is compiled; see https://sqlite.org/c3ref/set_authorizer.html */
export type Authorizer = (
  action: number,
  first: string | null,
  second: string | null,
  database: string | null,
  trigger: string | null,
) => number;

/** What `DatabaseSync` has in Deno 2.9.6 but its type declarations leave out. */
interface Authorizable {
  setAuthorizer(authorizer: Authorizer): void;
}

/** Actions that an authorizer is asked about, and what it may answer. The type declarations leave them out as well. */
export const AUTHORIZER = constants as unknown as Readonly<
  Record<
    "SQLITE_DELETE" | "SQLITE_IGNORE" | "SQLITE_INSERT" | "SQLITE_OK" | "SQLITE_SELECT" | "SQLITE_UPDATE",
    number
  >
>;

/** How long a statement itself waits for a lock before the asynchronous retry takes over: the event loop stands still meanwhile. */
const BUSY_TIMEOUT_MS = 5;
/** How long opening waits for a lock: with a rollback journal a writer who makes no pause leaves short gaps only. */
const OPEN_TIMEOUT_MS = 2_000;
/** Pauses between attempts to get the write lock: first, and at most. */
const BUSY_RETRY_MIN_MS = 1;
const BUSY_RETRY_MAX_MS = 25;
/** Waiting for longer than this is told. */
const LONG_WAIT_MS = 5_000;

/** How every connection is made. The type declarations of Deno 2.9.6 know the middle two only on a statement. */
const CONNECTION = {
  enableForeignKeyConstraints: false,
  readBigInts: true,
  returnArrays: true,
  timeout: BUSY_TIMEOUT_MS,
};

const SQLITE_ERROR = 1;
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_CORRUPT = 11;
/** A journal that was left behind, and a connection that may not write. */
const SQLITE_READONLY_ROLLBACK = 776;
const SQLITE_TOOBIG = 18;
const SQLITE_CONSTRAINT = 19;
const SQLITE_MISMATCH = 20;
const SQLITE_NOTADB = 26;

interface SqlFunction {
  /** Undefined once the connection is closed. */
  work: ((...values: unknown[]) => Parameter) | undefined;
}

export interface OpenOptions {
  /** Refuses every write. */
  readonly readOnly?: boolean;
}

/**
 * One connection to a SQLite file.
 *
 * Statements are synchronous; transactions wait for locks without holding the event loop, and those of one
 * connection take turns. Foreign keys are not enforced: what cascades did is captured as rows where it happened.
 */
export class Database implements Disposable {
  readonly path: string;
  /** How often something had to be tried again because another connection held a lock. */
  busyRetries = 0;
  /** Told once when something has waited for a lock for so long that a person may want to know. */
  onLocked: (waitedMs: number) => void = () => {};
  #db: DatabaseSync;
  #statements = new Map<string, Statement>();
  #turn = new Mutex();
  /** What the SQL functions do: Deno 2.9.6 keeps a function for as long as the process lives, so it must hold nothing else. */
  #functions: SqlFunction[] = [];

  private constructor(path: string, db: DatabaseSync) {
    this.path = path;
    this.#db = db;
  }

  /** Opens an existing file. Rejects with a DatabaseError that says what to do when it is none of ours to use. */
  static open(path: string, options: OpenOptions = {}): Database {
    requireFile(path);
    try {
      const db = new DatabaseSync(path, { ...CONNECTION, readOnly: options.readOnly ?? false });
      const database = new Database(path, db);
      untilUnlocked(() => database.#configure());
      return database;
    } catch (error) {
      throw explainOpenFailure(path, error);
    }
  }

  /**
   * NORMAL is safe in WAL mode: a power cut can only undo the newest transactions whole, and positions are undone with
   * their rows. With a rollback journal only FULL is. CHECK constraints held where the row was written.
   */
  #configure(): void {
    const mode = this.value("PRAGMA journal_mode");
    this.#db.exec(`PRAGMA synchronous = ${mode === "wal" ? "NORMAL" : "FULL"}`);
    this.#db.exec("PRAGMA ignore_check_constraints = ON");
  }

  prepare(sql: string): Statement {
    return this.#db.prepare(sql);
  }

  /** A prepared statement, kept for the life of the connection: for SQL text that does not vary. */
  statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Runs SQL text of one or more statements. */
  exec(sql: string): void {
    this.#db.exec(sql);
  }

  /** Runs one statement and returns how many rows it changed, those of triggers not counted. */
  run(sql: string, ...parameters: Parameter[]): number {
    return this.change(this.statement(sql), parameters);
  }

  /**
   * Runs a prepared statement that returns no rows, and returns how many it changed, those of triggers not counted.
   * Not by `run()`: on Deno 2.9.6 the result of each call is 64 bytes that only a full garbage collection frees.
   */
  change(statement: Statement, parameters: readonly Parameter[]): number {
    statement.get(...parameters);
    return this.count("SELECT changes()");
  }

  all(sql: string, ...parameters: Parameter[]): Row[] {
    return this.statement(sql).all(...parameters) as unknown as Row[];
  }

  get(sql: string, ...parameters: Parameter[]): Row | undefined {
    return this.statement(sql).get(...parameters) as unknown as Row | undefined;
  }

  /** The first column of the first row, undefined without one. */
  value(sql: string, ...parameters: Parameter[]): Parameter | undefined {
    return this.get(sql, ...parameters)?.[0];
  }

  /** Like {@link value} for a statement whose single value is an integer within ±2^53; 0 when NULL or without a row. */
  count(sql: string, ...parameters: Parameter[]): number {
    return Number(this.value(sql, ...parameters) ?? 0);
  }

  /** Makes a SQL function that only this connection knows. */
  defineFunction(name: string, work: (...values: unknown[]) => Parameter): void {
    const defined: SqlFunction = { work };
    this.#functions.push(defined);
    this.#db.function(
      name,
      { useBigIntArguments: true, varargs: true },
      (...values) => defined.work!(...values),
    );
  }

  setAuthorizer(authorizer: Authorizer): void {
    (this.#db as DatabaseSync & Authorizable).setAuthorizer(authorizer);
  }

  /**
   * Runs `work` in one write transaction (BEGIN IMMEDIATE): all of it is committed, or nothing when it throws.
   * Waits for locks as long as it takes, or until the signal is aborted; `work` may have to begin anew.
   */
  write<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turn.run(() => this.#transact("BEGIN IMMEDIATE", work, signal));
  }

  /** Runs `work` on one read snapshot: what others commit meanwhile is not seen. */
  read<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turn.run(() => this.#transact("BEGIN", work, signal));
  }

  /** Runs some reading statements outside a transaction. With a rollback journal even a reader may have to wait for its turn. */
  async look<T>(work: () => T, signal?: AbortSignal): Promise<T> {
    return await this.#retryBusy(work, signal);
  }

  async #transact<T>(begin: string, work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return await this.#retryBusy(async () => {
      await this.#retryBusy(() => this.statement(begin).get(), signal);
      try {
        const result = await work();
        await this.#retryBusy(() => this.statement("COMMIT").get(), signal);
        return result;
      } catch (error) {
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
        throw error;
      }
    }, signal);
  }

  /** Tries again for as long as another connection holds a lock that `work` needs; the pauses are the event loop's. */
  async #retryBusy<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    const startMs = performance.now();
    let isTold = false;
    for (let pauseMs = BUSY_RETRY_MIN_MS;; pauseMs = Math.min(pauseMs * 2, BUSY_RETRY_MAX_MS)) {
      try {
        return await work();
      } catch (error) {
        if (!isBusy(error)) throw error;
      }
      this.busyRetries++;
      const waitedMs = performance.now() - startMs;
      if (!isTold && waitedMs >= LONG_WAIT_MS) this.onLocked(waitedMs);
      isTold ||= waitedMs >= LONG_WAIT_MS;
      await sleep(pauseMs, signal);
    }
  }

  /**
   * Runs `work` inside the transaction at hand so that it alone can be undone: what it did is taken back when it throws.
   * Not to be nested.
   */
  async savepoint<T>(work: () => Promise<T>): Promise<T> {
    this.run("SAVEPOINT undoable");
    try {
      const result = await work();
      this.run("RELEASE undoable");
      return result;
    } catch (error) {
      // Some failures, such as a full disk, have ended the whole transaction already.
      if (this.#db.isTransaction) {
        this.run("ROLLBACK TO undoable");
        this.run("RELEASE undoable");
      }
      throw error;
    }
  }

  /**
   * Copies the database as it is at one moment to another file, which is made or replaced, beside whoever writes meanwhile;
   * with a rollback journal writers wait until it is done. Rejects with a DatabaseError (code BACKUP_FAILED) or the signal's
   * reason; what it has written until then is the caller's to remove.
   */
  async backupTo(path: string, options: BackupOptions = {}): Promise<void> {
    await copyDatabase(this.path, path, options);
  }

  close(): void {
    this.#statements.clear();
    for (const defined of this.#functions) defined.work = undefined;
    if (this.#db.isOpen) this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Holds the event loop; each attempt itself waits for {@link BUSY_TIMEOUT_MS}. */
function untilUnlocked(action: () => void): void {
  for (const start = performance.now();;) {
    try {
      return action();
    } catch (error) {
      if (!isBusy(error) || performance.now() - start > OPEN_TIMEOUT_MS) throw error;
    }
  }
}

/** Whether another connection held a lock that the statement needed. */
function isBusy(error: unknown): boolean {
  const code = primaryCode(error);
  return code === SQLITE_BUSY || code === SQLITE_LOCKED;
}

/** Whether a row was refused by the schema: NOT NULL, a UNIQUE index, a STRICT type, a trigger, a rowid that is no integer, its size. */
export function isConstraint(error: unknown): boolean {
  return [SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_TOOBIG].includes(primaryCode(error));
}

/** Whether SQLite cannot make sense of a statement: it names what is not there, or needs a function or collation it lacks. */
export function isUnpreparable(error: unknown): boolean {
  return primaryCode(error) === SQLITE_ERROR;
}

/** Whether SQLite found that the file is not whole. */
export function isCorrupt(error: unknown): boolean {
  const { cause } = error instanceof DatabaseError ? error : { cause: error };
  return primaryCode(cause) === SQLITE_CORRUPT;
}

function primaryCode(error: unknown): number {
  return error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
}

function requireFile(path: string): void {
  try {
    if (Deno.statSync(path).isFile) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw explainOpenFailure(path, error);
  }
  throw new DatabaseError("DATABASE_MISSING", `Cannot open the database "${path}": there is no such file`, {
    hint: "Start the application once so that it creates the file, or correct db_path.",
  });
}

function explainOpenFailure(path: string, cause: unknown): DatabaseError {
  if (cause instanceof DatabaseError) return cause;
  if (primaryCode(cause) === SQLITE_NOTADB || messageOf(cause).includes("not a database")) {
    return new DatabaseError(
      "NOT_A_DATABASE",
      `Cannot open the database "${path}": it is not a SQLite file, or it is encrypted`,
      { cause, hint: "Encrypted databases are not supported. The file was not touched." },
    );
  }
  if (isBusy(cause)) {
    return new DatabaseError("DATABASE_LOCKED", `Cannot open the database "${path}": it is locked`, {
      cause,
      hint: "Another process keeps everybody out: end its transaction, or its exclusive locking mode.",
    });
  }
  if (cause instanceof Error && "errcode" in cause && cause.errcode === SQLITE_READONLY_ROLLBACK) {
    return new DatabaseError(
      "DATABASE_INTERRUPTED",
      `Cannot read the database "${path}": its last transaction was interrupted, and has to be undone first`,
      { cause, hint: "Start the application or the node: whoever may write undoes it." },
    );
  }
  return new DatabaseError("DATABASE_UNUSABLE", `Cannot open the database "${path}": ${messageOf(cause)}`, {
    cause,
    hint: "Check that the file and its folder are readable and writable for this user.",
  });
}
