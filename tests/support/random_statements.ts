import { Random } from "../sim/random.ts";

/** Tables of every kind that is captured in its own way, for {@link randomStatements}. */
export const STATEMENT_SCHEMA = `
  CREATE TABLE plain (id INTEGER PRIMARY KEY, a, b TEXT DEFAULT 'none');
  CREATE TABLE bare (a, b);
  CREATE TABLE pair (p TEXT, q INTEGER, a, b, PRIMARY KEY (q, p)) WITHOUT ROWID;
  CREATE TABLE named (k TEXT PRIMARY KEY NOT NULL, a UNIQUE, b INTEGER NOT NULL DEFAULT 0 CHECK (b <> 13));
  CREATE TABLE uniq (id INTEGER PRIMARY KEY, a INTEGER UNIQUE, b TEXT COLLATE NOCASE, c INTEGER DEFAULT 1);
  CREATE UNIQUE INDEX uniq_pair ON uniq (b, c);
  CREATE UNIQUE INDEX uniq_part ON uniq (c) WHERE a > 5;
  CREATE UNIQUE INDEX uniq_text ON uniq (lower(b) || a) WHERE b IS NOT NULL;
  CREATE TABLE computed (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, twice INTEGER AS (a * 2) STORED, both AS (a || b));
  CREATE TABLE parents (id INTEGER PRIMARY KEY, a UNIQUE, b);
  CREATE TABLE children (id INTEGER PRIMARY KEY,
    a INTEGER REFERENCES parents (id) ON DELETE CASCADE ON UPDATE CASCADE,
    b REFERENCES parents (a) ON DELETE SET NULL ON UPDATE CASCADE);`;

interface StatementTable {
  readonly name: string;
  readonly key: readonly string[];
  /** What can stand behind ON CONFLICT. */
  readonly targets: readonly string[];
  readonly columns: readonly string[];
}

const TABLES: readonly StatementTable[] = [
  { name: "plain", key: ["id"], targets: ["(id)"], columns: ["a", "b"] },
  { name: "bare", key: ["rowid"], targets: [], columns: ["a", "b"] },
  { name: "pair", key: ["p", "q"], targets: ["(p, q)"], columns: ["a", "b"] },
  { name: "named", key: ["k"], targets: ["(k)", "(a)"], columns: ["a", "b"] },
  { name: "uniq", key: ["id"], targets: ["(id)", "(a)", "(b, c)"], columns: ["a", "b", "c"] },
  { name: "computed", key: ["id"], targets: ["(id)"], columns: ["a", "b"] },
  { name: "parents", key: ["id"], targets: ["(id)", "(a)"], columns: ["a", "b"] },
  { name: "children", key: ["id"], targets: ["(id)"], columns: ["a", "b"] },
];

/** Few of each, so that rows meet: integer keys, text keys and values. */
const NUMBERS = ["1", "2", "3", "4", "5", "6", "7", "8", "-1"];
const TEXTS = ["'x'", "'y'", "'Y'", "'z'"];
const VALUES = ["NULL", "1", "2", "3", "4", "5", "6", "7", "13", "1.5", "'x'", "'X'", "'y'", "x'00ff'", "''"];
/** Most others would fail where foreign keys are enforced. */
const REFERENCES = ["NULL", "NULL", "1", "2", "3", "4"];

/** Makes statements that a program might run; many of them fail, as a constraint is in their way. */
class StatementMaker {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** One or more statements that belong together. */
  transaction(): string[] {
    if (this.#random.chance(0.5)) return [this.#statement()];
    const body = this.#several();
    if (this.#random.chance(0.4)) {
      const inner = [...this.#several(), ...this.#random.chance(0.5) ? ["ROLLBACK TO here"] : []];
      body.push("SAVEPOINT here", ...inner, "RELEASE here");
    }
    return ["BEGIN", ...body, this.#random.chance(0.8) ? "COMMIT" : "ROLLBACK"];
  }

  #several(): string[] {
    return Array.from({ length: 1 + this.#random.below(4) }, () => this.#statement());
  }

  #statement(): string {
    const table = this.#random.pick(TABLES);
    const statement = this.#random.pick([
      () => this.#insert(table),
      () => this.#insert(table),
      () => this.#upsert(table),
      () => this.#insertSelect(table),
      () => this.#update(table),
      () => this.#updateFrom(table),
      () => this.#changeKeys(table),
      () => this.#delete(table),
    ])();
    const returning = this.#random.chance(0.1) ? ` RETURNING ${table.key[0]}, a, typeof(b)` : "";
    return statement + returning;
  }

  #or(...more: string[]): string {
    const choices = [
      "",
      "",
      "",
      "OR REPLACE ",
      "OR REPLACE ",
      "OR IGNORE ",
      "OR FAIL ",
      "OR ABORT ",
      ...more,
    ];
    return this.#random.pick(choices);
  }

  #keyValue(column: string): string {
    return this.#random.pick(column === "k" || column === "p" ? TEXTS : NUMBERS);
  }

  #row({ name, key, columns }: StatementTable): string {
    const keys = key.map((column) =>
      // Without a value of its own a rowid is chosen by SQLite: in a BEFORE trigger it is not known yet.
      column === "id" && this.#random.chance(0.15) ? "NULL" : this.#keyValue(column)
    );
    const values = columns.map(() => this.#random.pick(name === "children" ? REFERENCES : VALUES));
    return `(${[...keys, ...values].join(", ")})`;
  }

  #insert(table: StatementTable): string {
    const rows = Array.from({ length: this.#random.pick([1, 1, 1, 3]) }, () => this.#row(table));
    return `INSERT ${this.#or("OR ROLLBACK ")}INTO ${table.name} (${
      [...table.key, ...table.columns].join(", ")
    }) VALUES ${rows.join(", ")}`;
  }

  #upsert(table: StatementTable): string {
    const { name, key, columns, targets } = table;
    const set = this.#random.pick(["a = excluded.a", "b = excluded.b", "a = excluded.a, b = 'upsert'"]);
    const clause = (target: string): string =>
      `ON CONFLICT ${target} DO ${this.#random.chance(0.7) ? `UPDATE SET ${set}` : "NOTHING"}`;
    const clauses = targets.filter(() => this.#random.chance(0.6)).map(clause);
    if (this.#random.chance(0.2) && targets.length > 0) clauses.push(clause(""));
    return `INSERT ${this.#or()}INTO ${name} (${[...key, ...columns].join(", ")}) VALUES ${
      this.#row(table)
    } ${clauses.join(" ")}`;
  }

  #insertSelect(table: StatementTable): string {
    const { name, key, columns } = table;
    const from = this.#random.pick(TABLES);
    const keys = key.map((column) => column === "k" || column === "p" ? "b || ''" : `${from.key[0]} + 1`);
    return `INSERT ${this.#random.pick(["OR REPLACE", "OR IGNORE"])} INTO ${name} (${
      [...key, ...columns].join(", ")
    }) SELECT ${[...keys, ...columns.map((_, at) => at % 2 === 0 ? "b" : "a")].join(", ")} FROM ${from.name}
       WHERE typeof(${from.key[0]}) = 'integer' AND b IS NOT NULL`;
  }

  #where(table: StatementTable): string {
    return this.#random.pick([
      () => table.key.map((column) => `${column} = ${this.#keyValue(column)}`).join(" AND "),
      () => `${table.key[0]} > ${this.#keyValue(table.key[0]!)}`,
      () => `a = ${this.#random.pick(VALUES)}`,
      () => "b IS NOT NULL",
    ])();
  }

  #update(table: StatementTable): string {
    const column = this.#random.pick(table.columns);
    const value = this.#random.pick([...VALUES, ...VALUES, column, "b", "a + 1"]);
    return `UPDATE ${this.#or("OR ROLLBACK ")}${table.name} SET ${column} = ${value} WHERE ${
      this.#where(table)
    }`;
  }

  #updateFrom(table: StatementTable): string {
    const from = this.#random.pick(TABLES);
    return `WITH other AS (SELECT ${from.key[0]} AS n, max(a) AS a, min(b) AS b FROM ${from.name} GROUP BY 1)
      UPDATE ${this.#or()}${table.name} SET b = other.a FROM other WHERE ${table.name}.${
      table.key.at(-1)
    } = other.n`;
  }

  #changeKeys(table: StatementTable): string {
    const set = (column: string): string => {
      const isText = column === "k" || column === "p";
      return `${column} = ${
        this.#random.pick([
          this.#keyValue(column),
          isText ? `${column} || 'x'` : `${column} + 1`,
          `-${column}`,
        ])
      }`;
    };
    const sets = table.key.filter(() => this.#random.chance(0.8)).map(set);
    if (sets.length === 0) return this.#update(table);
    return `UPDATE ${this.#or()}${table.name} SET ${sets.join(", ")} WHERE ${this.#where(table)}`;
  }

  #delete(table: StatementTable): string {
    const where = this.#random.chance(0.05) ? "" : ` WHERE ${this.#where(table)}`;
    return `DELETE FROM ${table.name}${where}`;
  }
}

/** SQL text with random transactions over the tables of {@link STATEMENT_SCHEMA}; the same seed makes the same. */
export function randomStatements(seed: number, transactions: number): string {
  const maker = new StatementMaker(new Random(seed));
  const statements = Array.from({ length: transactions }, () => maker.transaction()).flat();
  return `${statements.join(";\n")};\n`;
}
