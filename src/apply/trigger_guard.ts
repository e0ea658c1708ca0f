import { AUTHORIZER, type Database } from "../sqlite/database.ts";
import { literal, quote, withoutQuoted } from "../sqlite/identifier.ts";
import { isOurs } from "../schema/names.ts";
import type { Schema } from "../schema/followed_tables.ts";

const { SQLITE_DELETE, SQLITE_IGNORE, SQLITE_INSERT, SQLITE_OK, SQLITE_SELECT, SQLITE_UPDATE } = AUTHORIZER;

const IS_NESTED = "harmonylite_is_nested_delete";

/**
 * Keeps the triggers of a replica from doing again what they did where a change was made: their work on followed tables
 * was captured there and comes as changes of its own, and nothing that is applied may be captured as new.
 *
 * SQLite asks an authorizer while it compiles a statement, so this costs nothing per row. In a trigger:
 * - an INSERT into or UPDATE of a followed table, or of one of ours, compiles to nothing;
 * - on any other table it runs: a full-text index kept by triggers, a table that stays local;
 * - where the trigger can RAISE, a SELECT compiles to nothing: the row passed where it was made. Not one behind a writing
 *   step when any such step has a SELECT of its own, as the two look alike.
 *
 * A DELETE cannot be ignored so (SQLITE_IGNORE only turns its truncate optimization off; tried on 3.53). For that,
 * temporary triggers, which only this connection sees, skip every delete that is not the applier's own.
 */
export class TriggerGuard {
  readonly #database: Database;
  #followed: ReadonlySet<string> = new Set();
  /** User's triggers that can refuse a row, and whether only their bare steps have a SELECT. */
  #raising: ReadonlyMap<string, boolean> = new Map();
  /** The trigger that is being compiled, and whether a writing step of it came by. */
  #compiling: { trigger: string | null; wrote: boolean } = { trigger: null, wrote: false };
  #guarded: string[] = [];
  /** Table of which the applier itself is about to delete one row. */
  #direct: string | undefined;

  constructor(database: Database, schema: Schema) {
    this.#database = database;
    database.defineFunction(IS_NESTED, (table) => this.#isNested(table));
    this.use(schema);
    database.setAuthorizer((action, subject, _detail, _schema, trigger) =>
      this.#authorize(action, subject, trigger)
    );
  }

  /** Follows a schema change: triggers may have come or gone. */
  use(schema: Schema): void {
    const triggers = userTriggers(this.#database);
    this.#followed = new Set(schema.tables.keys());
    const raising = triggers.filter(({ sql }) => /\bRAISE\s*\(/i.test(sql));
    this.#raising = new Map(raising.map(({ name, sql }) => [name, !writesWhatItSelects(sql)]));
    const deletes = triggers.some(({ sql }) => /\bDELETE\s+FROM\b/i.test(sql));
    this.#layGuards(deletes ? [...schema.tables.keys()] : []);
  }

  /** Runs a statement of the applier that deletes at most one row of a table. */
  deleting<T>(table: string, work: () => T): T {
    this.#direct = table;
    try {
      return work();
    } finally {
      this.#direct = undefined;
    }
  }

  #layGuards(tables: string[]): void {
    for (const name of this.#guarded) this.#database.exec(`DROP TRIGGER IF EXISTS temp.${quote(name)}`);
    this.#guarded = tables.map((table) => `harmonylite_guard_${table}`);
    tables.forEach((table, at) =>
      this.#database.exec(
        `CREATE TEMP TRIGGER ${quote(this.#guarded[at]!)} BEFORE DELETE ON main.${quote(table)}
         WHEN ${IS_NESTED}(${literal(table)}) BEGIN SELECT RAISE(IGNORE); END`,
      )
    );
  }

  /** The first row that goes from the table which the applier deletes from is the applier's. */
  #isNested(table: unknown): bigint {
    if (this.#direct !== table) return 1n;
    this.#direct = undefined;
    return 0n;
  }

  #authorize(action: number, subject: string | null, trigger: string | null): number {
    if (trigger !== this.#compiling.trigger) this.#compiling = { trigger, wrote: false };
    if (trigger === null) return SQLITE_OK;
    if (action === SQLITE_SELECT) {
      const onlyBare = this.#raising.get(trigger);
      return onlyBare === undefined || (this.#compiling.wrote && !onlyBare) ? SQLITE_OK : SQLITE_IGNORE;
    }
    if (action !== SQLITE_INSERT && action !== SQLITE_UPDATE && action !== SQLITE_DELETE) return SQLITE_OK;
    this.#compiling.wrote = true;
    return subject !== null && (isOurs(subject) || this.#followed.has(subject)) ? SQLITE_IGNORE : SQLITE_OK;
  }
}

/** The triggers that are not ours, without what stands in quotes and comments. */
function userTriggers(database: Database): { name: string; sql: string }[] {
  return database
    .all("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    .map(([name, sql]) => ({ name: String(name), sql: withoutQuoted(String(sql)) }))
    .filter(({ name }) => !isOurs(name));
}

/** Whether a writing step of a trigger has a SELECT in it, or several rows of VALUES, which are one to SQLite. */
function writesWhatItSelects(sql: string): boolean {
  const steps = sql.slice(sql.search(/\bBEGIN\b/i) + "BEGIN".length).split(";");
  const writing = steps.filter((step) => !/^\s*SELECT\b/i.test(step));
  return writing.some((step) => /\bSELECT\b|\)\s*,\s*\(/i.test(step));
}
