/**
 * An application that never stops writing while its schema changes: its statements fit the schema of its database at that
 * moment, as it reads the schema in the transaction in which it writes.
 *
 *     deno run -A tests/support/versatile_application.ts shop.db 1000
 *
 * It inserts, updates and deletes rows of its own, with keys from the given number on, in every user table, some hundred
 * transactions a second, until SIGTERM. Its last line of standard output is a {@link VersatileReport} in JSON.
 */
import { DatabaseSync } from "node:sqlite";

/** What was written, and what went wrong. */
export interface VersatileReport {
  readonly transactions: number;
  /** Messages of transactions that failed and were given up, each different one once. */
  readonly errors: readonly string[];
  readonly failed: number;
  /** The longest time during which every transaction failed, in milliseconds. */
  readonly longestOutageMs: number;
}

interface Column {
  readonly name: string;
  readonly type: string;
  readonly pk: number;
}

const BUSY_TIMEOUT_MS = 20_000;
const PAUSE_MS = 4;
/** Of so many own rows of a table that one is taken for an update or a delete. */
const RECENT = 20;

class Versatile {
  readonly #db: DatabaseSync;
  #next: number;
  readonly #first: number;
  #transactions = 0;
  #failed = 0;
  #failingSince: number | undefined;
  #longestOutageMs = 0;
  readonly #errors = new Set<string>();

  constructor(path: string, first: number) {
    this.#db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    this.#first = first;
    this.#next = first;
  }

  async run(signal: AbortSignal): Promise<VersatileReport> {
    while (!signal.aborted) {
      this.#attempt();
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    this.#db.close();
    return {
      transactions: this.#transactions,
      errors: [...this.#errors],
      failed: this.#failed,
      longestOutageMs: this.#longestOutageMs,
    };
  }

  #attempt(): void {
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const number = this.#next++;
      this.#tables().forEach((table) => this.#write(table, number));
      this.#db.exec("COMMIT");
      this.#transactions++;
      this.#failingSince = undefined;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      this.#failed++;
      this.#errors.add(error instanceof Error ? error.message : String(error));
      this.#failingSince ??= performance.now();
      this.#longestOutageMs = Math.max(this.#longestOutageMs, performance.now() - this.#failingSince);
    }
  }

  /** The tables that are captured: what is written to a table before our triggers are there is not replicated. */
  #tables(): string[] {
    return this.#db.prepare(
      `SELECT DISTINCT tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '\\_\\_harmonylite%' ESCAPE '\\'
       AND tbl_name NOT LIKE '\\_\\_harmonylite%' ESCAPE '\\'`,
    ).all().map((row) => String(row["tbl_name"]));
  }

  #write(table: string, number: number): void {
    const columns = this.#db.prepare("SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden = 0")
      .all(table) as unknown as Column[];
    const insert = `INSERT INTO "${table}" (${columns.map(({ name }) => `"${name}"`).join()})
      VALUES (${columns.map((column) => valueOf(column, number)).join()})`;
    this.#db.exec(insert);
    const key = columns.filter(({ pk }) => pk > 0);
    const others = columns.filter(({ pk }) => pk === 0);
    const old = number - 1 - number % RECENT;
    if (old < this.#first) return;
    const where = key.map((column) => `"${column.name}" = ${valueOf(column, old)}`).join(" AND ");
    const set = others.map((column) => `"${column.name}" = ${valueOf(column, old, "again ")}`).join();
    if (number % 3 === 0) this.#db.exec(`DELETE FROM "${table}" WHERE ${where}`);
    else if (set !== "") this.#db.exec(`UPDATE "${table}" SET ${set} WHERE ${where}`);
  }
}

/** Different for every number, so that no two applications claim one UNIQUE value. */
function valueOf({ name, type }: Column, number: number, mark = ""): string {
  if (/int/i.test(type)) return String(mark === "" ? number : -number);
  if (/real/i.test(type)) return `${number}.5`;
  return `'${mark}${name} ${number}'`;
}

if (import.meta.main) {
  const stopped = new AbortController();
  const stop = (): void => stopped.abort();
  Deno.addSignalListener("SIGTERM", stop);
  const application = new Versatile(Deno.args[0]!, Number(Deno.args[1]));
  console.log("writing");
  console.log(JSON.stringify(await application.run(stopped.signal)));
  Deno.removeSignalListener("SIGTERM", stop);
}
