import type { Wakeup } from "../lib/wakeup.ts";
import type { Database } from "../sqlite/database.ts";
import { type Schema, schemaVersion, type TableFilter } from "../schema/followed_tables.ts";
import { type Installation, installCapture } from "./change_log.ts";
import type { TakenOver } from "./left_behind.ts";

/** Hears what following the schema means for its tables, at the start and later. */
export interface SchemaListener {
  /** Triggers of these were laid. */
  readonly onChange?: (tables: readonly string[]) => void;
  /** A table cannot be followed. */
  readonly onLeftOut?: (table: string, reason: string) => void;
  /** The Go original had captured changes here so far. */
  readonly onTakenOver?: (left: TakenOver) => void;
}

/** How often the schema is looked at where no file event tells of a change. */
const LOOK_INTERVAL_MS = 1000;

/**
 * Keeps triggers and change logs in line with the schema while the program runs, and tells the others what it is.
 * A user may drop any table at any moment, ours too: so whoever needs one of them works inside {@link write} or {@link read}.
 */
export class SchemaTracker {
  readonly #database: Database;
  readonly #filter: TableFilter;
  readonly #listener: SchemaListener;
  #current: Schema;

  private constructor(
    database: Database,
    filter: TableFilter,
    listener: SchemaListener,
    current: Schema,
  ) {
    this.#database = database;
    this.#filter = filter;
    this.#listener = listener;
    this.#current = current;
  }

  /** Installs capture for the schema as it is. */
  static async open(
    database: Database,
    filter: TableFilter,
    listener: SchemaListener = {},
    signal?: AbortSignal,
  ): Promise<SchemaTracker> {
    const installation = await installCapture(database, filter, signal);
    tell(listener, installation);
    return new SchemaTracker(database, filter, listener, { ...installation.schema, logs: 0 });
  }

  get current(): Schema {
    return this.#current;
  }

  /** Follows schema changes as soon as they are made, whatever else is waited for, until the signal is aborted. */
  async run({ wakeup, signal }: { wakeup: Wakeup; signal: AbortSignal }): Promise<void> {
    while (!signal.aborted) {
      await this.refresh(signal);
      await wakeup.wait(LOOK_INTERVAL_MS, signal);
    }
  }

  /**
   * Runs `work` in one write transaction under the schema that `current` describes: all tables of ours are there, and SQLite
   * lets nobody else change that meanwhile. `work` may have to begin anew.
   */
  write<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#underCurrent((checked) => this.#database.write(checked, signal), work, signal);
  }

  /** Runs `work` on one read snapshot that has the schema which `current` describes: all tables of ours are there. */
  read<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#underCurrent((checked) => this.#database.read(checked, signal), work, signal);
  }

  async #underCurrent<T>(
    transact: (checked: () => Promise<{ result: T } | undefined>) => Promise<{ result: T } | undefined>,
    work: () => T | Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    for (;;) {
      await this.refresh(signal);
      const done = await transact(async () => this.isCurrent() ? { result: await work() } : undefined);
      if (done) return done.result;
    }
  }

  /** What was read from the change logs until now is not to be marked any more: see `logs` of {@link Schema}. */
  invalidateReads(): void {
    this.#current = { ...this.#current, logs: this.#current.logs + 1 };
  }

  /** Whether the database still has the schema that `current` describes. */
  isCurrent(): boolean {
    return schemaVersion(this.#database) === this.#current.version;
  }

  /** Follows what changed in the schema since the last time, if anything. */
  async refresh(signal?: AbortSignal): Promise<void> {
    if (await this.#database.look(() => this.isCurrent(), signal)) return;
    const installation = await installCapture(this.#database, this.#filter, signal);
    tell(this.#listener, installation, this.#current);
    const { schema, madeLogs } = installation;
    this.#current = { ...schema, logs: this.#current.logs + (madeLogs ? 1 : 0) };
  }
}

/** Each table that is left out is named once, unless the reason changes. */
function tell(
  listener: SchemaListener,
  { schema, changed, takenOver }: Installation,
  before?: Schema,
): void {
  if (takenOver) listener.onTakenOver?.(takenOver);
  if (changed.length > 0) listener.onChange?.(changed);
  for (const [table, reason] of schema.leftOut) {
    if (before?.leftOut.get(table) !== reason) listener.onLeftOut?.(table, reason);
  }
}
