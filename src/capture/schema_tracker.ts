import type { Database } from "../sqlite/database.ts";
import { type Schema, schemaVersion, type TableFilter } from "../schema/followed_tables.ts";
import { installCapture } from "./change_log.ts";

/**
 * Keeps triggers and change logs in line with the schema while the program runs, and tells the others what it is.
 * Whoever uses `current` inside a write transaction first compares its version: SQLite lets nobody change the schema then.
 */
export class SchemaTracker {
  readonly #database: Database;
  readonly #filter: TableFilter;
  readonly #onChange: (tables: readonly string[]) => void;
  #current: Schema;

  private constructor(
    database: Database,
    filter: TableFilter,
    onChange: (tables: readonly string[]) => void,
    current: Schema,
  ) {
    this.#database = database;
    this.#filter = filter;
    this.#onChange = onChange;
    this.#current = current;
  }

  /** Installs capture for the schema as it is. `onChange` hears of every table whose triggers are laid, now and later. */
  static async open(
    database: Database,
    filter: TableFilter,
    onChange: (tables: readonly string[]) => void,
    signal?: AbortSignal,
  ): Promise<SchemaTracker> {
    const { schema, changed } = await installCapture(database, filter, signal);
    if (changed.length > 0) onChange(changed);
    return new SchemaTracker(database, filter, onChange, schema);
  }

  get current(): Schema {
    return this.#current;
  }

  /** Whether the database still has the schema that `current` describes. */
  isCurrent(): boolean {
    return schemaVersion(this.#database) === this.#current.version;
  }

  /** Follows what changed in the schema since the last time, if anything. */
  async refresh(signal?: AbortSignal): Promise<void> {
    if (await this.#database.look(() => this.isCurrent(), signal)) return;
    const { schema, changed } = await installCapture(this.#database, this.#filter, signal);
    this.#current = schema;
    if (changed.length > 0) this.#onChange(changed);
  }
}
