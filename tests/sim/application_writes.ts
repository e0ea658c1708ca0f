import { literal } from "../../src/sqlite/identifier.ts";
import type { Random } from "./random.ts";
import { LEDGER, rowText, type SimTable } from "./tables.ts";

/** One statement of the application, and the ledger row that it adds, if any. */
export interface Statement {
  readonly sql: string;
  readonly ledger?: { readonly table: string; readonly key: string; readonly x: string };
}

/** Makes the statements of random transactions. Every written row gets a value of `x` that was never used before. */
export class ApplicationWrites {
  #written = 0;
  #ledgerRows = 0;

  /** One transaction of a node's application, on the tables that it may write to as they are there now. */
  transaction(random: Random, node: number, tables: readonly SimTable[]): Statement[] {
    const shared = tables.filter(({ keys }) => keys.length > 0);
    const count = shared.length === 0 ? 0 : random.pick([1, 1, 2, 3]);
    const statements: Statement[] = [];
    for (let at = 0; at < count; at++) statements.push(...this.#statements(random, random.pick(shared)));
    if (count === 0 || random.chance(0.3)) statements.push(...this.#ledger(random, node, tables));
    return statements;
  }

  #x(): string {
    return literal(`x${++this.#written}`);
  }

  #row(random: Random, table: SimTable, key = random.pick(table.keys)): string {
    const values = [...key, ...table.values.map((literals) => random.pick(literals)), this.#x()];
    return `${table.name} (${table.columns.join(", ")}) VALUES (${values.join(", ")})`;
  }

  #at(random: Random, table: SimTable): string {
    const key = random.pick(table.keys);
    return table.key.map((column, at) => `${column} IS ${key[at]}`).join(" AND ");
  }

  #set(random: Random, table: SimTable): string {
    const middle = table.columns.slice(table.key.length, -1);
    if (middle.length === 0) return `x = ${this.#xOfRow(table)}`;
    const column = random.below(middle.length);
    return `${middle[column]} = ${random.pick(table.values[column]!)}, x = ${this.#xOfRow(table)}`;
  }

  /** Several rows may have NULL for their key. */
  #xOfRow(table: SimTable): string {
    return table.keyMayBeNull ? `${this.#x()} || '.' || ${rowText(table)}` : this.#x();
  }

  #statements(random: Random, table: SimTable): Statement[] {
    const { name } = table;
    const or = random.pick(["", "OR REPLACE ", "OR IGNORE "]);
    switch (
      random.pick([
        "insert",
        "insert",
        "insert",
        "update",
        "update",
        "delete",
        "key",
        "swap",
        "upsert",
        "all",
      ])
    ) {
      case "insert":
        return [{ sql: `INSERT ${or}INTO ${this.#row(random, table)}` }];
      case "update":
        return [{
          sql: `UPDATE ${or}${name} SET ${this.#set(random, table)} WHERE ${this.#at(random, table)}`,
        }];
      case "delete":
        return [{ sql: `DELETE FROM ${name} WHERE ${this.#at(random, table)}` }];
      case "key":
        return [this.#rekey(table, random.pick(table.keys), random.pick(table.keys), or)];
      case "swap":
        return this.#swap(random, table);
      case "upsert": {
        const target = name === "bare" ? "rowid" : table.key.join(", ");
        if (name === "bare") return [{ sql: `INSERT OR REPLACE INTO ${this.#row(random, table)}` }];
        const row = this.#row(random, table);
        return [{ sql: `INSERT INTO ${row} ON CONFLICT (${target}) DO UPDATE SET x = excluded.x` }];
      }
      default:
        return [{ sql: this.#everyRow(random, table) }];
    }
  }

  /** A statement that changes many rows. */
  #everyRow(random: Random, table: SimTable): string {
    const own = table.name === "uniq" ? " WHERE id < 100" : "";
    if (random.chance(0.5)) return `DELETE FROM ${table.name}${own}`;
    return `UPDATE ${table.name} SET x = ${this.#x()} || '.' || ${rowText(table)}${own}`;
  }

  #rekey(table: SimTable, from: readonly string[], to: readonly string[], or = ""): Statement {
    const set = table.key.map((column, at) => `${column} = ${to[at]}`).join(", ");
    const where = table.key.map((column, at) => `${column} IS ${from[at]}`).join(" AND ");
    return { sql: `UPDATE ${or}${table.name} SET ${set}, x = ${this.#xOfRow(table)} WHERE ${where}` };
  }

  #swap(random: Random, table: SimTable): Statement[] {
    const [a, b] = [random.pick(table.keys), random.pick(table.keys)];
    const away = table.key.map((column) => column === "k" || column === "p" ? "'away'" : "99");
    return [
      this.#rekey(table, a, away),
      this.#rekey(table, b, a),
      this.#rekey(table, away, b),
    ];
  }

  /** Rows that nobody else ever touches. */
  #ledger(random: Random, node: number, tables: readonly SimTable[]): Statement[] {
    const statements: Statement[] = [];
    const count = random.pick([1, 2, 3, 4]);
    for (let at = 0; at < count; at++) {
      const number = ++this.#ledgerRows;
      const x = this.#x();
      if (tables.some(({ name }) => name === "uniq") && random.chance(0.3)) {
        const id = String(100 + number);
        statements.push({
          sql: `INSERT INTO uniq (id, u, x) VALUES (${id}, ${id}, ${x})`,
          ledger: { table: "uniq", key: id, x },
        });
      } else {
        const id = literal(`node ${node} row ${number}`);
        statements.push({
          sql: `INSERT INTO ${LEDGER.name} (id, x) VALUES (${id}, ${x})`,
          ledger: { table: LEDGER.name, key: id, x },
        });
      }
    }
    return statements;
  }
}

/** Its `x` as the row has it. */
export function xOf({ x }: NonNullable<Statement["ledger"]>): string {
  return x.slice(1, -1);
}
