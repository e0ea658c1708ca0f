import type { Database, Parameter, Row, Statement } from "../sqlite/database.ts";
import { tokenize } from "../sqlite/tokens.ts";

/** A statement over the values of an event, `?1 … ?n`. SQLite refuses more values than the statement names. */
export class EventStatement {
  readonly #database: Database;
  readonly #statement: Statement;
  readonly #count: number;

  constructor(database: Database, sql: string) {
    this.#database = database;
    this.#statement = database.prepare(sql);
    const named = tokenize(sql).filter(({ text }) => /^\?\d/.test(text));
    this.#count = Math.max(0, ...named.map(({ text }) => Number(text.slice(1))));
  }

  /** How many rows were changed. */
  run(values: Parameter[]): number {
    return this.#database.change(this.#statement, this.#cut(values));
  }

  all(values: Parameter[]): Row[] {
    return this.#statement.all(...this.#cut(values)) as unknown as Row[];
  }

  #cut(values: Parameter[]): Parameter[] {
    return values.length === this.#count ? values : values.slice(0, this.#count);
  }
}
