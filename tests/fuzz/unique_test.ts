/**
 * Random UNIQUE indexes and rows, judged by SQLite itself: what applying an event removes is what `OR REPLACE` removes.
 * `HARMONYLITE_SEED` repeats a run.
 */

import assert from "node:assert/strict";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { Random } from "../sim/random.ts";
import { CoreLab, LAB_TIME_NS } from "../support/core_lab.ts";
import { type UniqueCase, uniqueCase, uniqueValue } from "../support/unique_cases.ts";
import type { SqlValue } from "../../src/wire/event.ts";

const CASES = 40;
const EVENTS = 25;

const seed = Number(Deno.env.get("HARMONYLITE_SEED") ?? Date.now() & 0x7fffffff);
console.log(`HARMONYLITE_SEED=${seed}`);

type Row = Record<string, SqlValue>;

/** A row of which every fourth lacks some columns. */
function randomRow(random: Random, chosen: UniqueCase): Row {
  const lacking = random.chance(0.25);
  const carried = chosen.columns.filter(() => !lacking || random.chance(0.5));
  const values = carried.map((name) => [name, uniqueValue(random)]);
  return { ...randomKey(random, chosen), ...Object.fromEntries(values) };
}

function randomKey(random: Random, { key }: UniqueCase): Row {
  if (key.mayBeNull && random.chance(0.4)) return { rowid: BigInt(1 + random.below(4)), [key.name]: null };
  return { [key.name]: random.pick(key.values) };
}

function contents({ key }: UniqueCase): string {
  const values = [key.name, "a", "b", "c", "g"].map((name) => `typeof(${name}) || quote(${name})`);
  return `SELECT ${values.join(" || '|' || ")} FROM t ORDER BY 1`;
}

/** What identifies a row, as one value; with types that need not be declared 1 and 1.0 are one key. */
function identity({ key }: UniqueCase, source: (column: string) => string): string {
  const value = source(key.name);
  const quoted =
    `quote(CASE typeof(${value}) WHEN 'text' THEN lower(${value}) ELSE CAST(${value} AS INTEGER) END)`;
  return key.mayBeNull ? `CASE WHEN ${value} IS NULL THEN ${source("rowid")} ELSE ${quoted} END` : quoted;
}

/** Writes the row as applying it should: over the one of its key, at the cost of all that clash with it. */
function replace(db: DatabaseSync, { key: { name: key } }: UniqueCase, row: Row): void {
  const names = Object.keys(row);
  const values = Object.values(row) as SQLInputValue[];
  const set = names.map((name, at) => `${name} = ?${at + 1}`).join(", ");
  const isNull = row[key] === null;
  // Where the key is declared, the rowid of a row that has one means nothing.
  if (isNull) {
    db.exec(
      `UPDATE t SET rowid = (SELECT max(rowid) + 1 FROM t) WHERE rowid = ${row["rowid"]} AND ${key} NOT NULL`,
    );
  }
  const where = isNull ? `rowid = ?1 AND ${key} IS NULL` : `${key} = ?1`;
  const update = db.prepare(`UPDATE OR REPLACE t SET ${set} WHERE ${where}`).run(...values);
  if (update.changes > 0) return;
  const marks = names.map(() => "?").join(", ");
  db.prepare(`INSERT OR REPLACE INTO t (${names.join(", ")}) VALUES (${marks})`).run(...values);
}

/** A random case that SQLite takes, in a database of its own. */
function validCase(random: Random): { case: UniqueCase; db: DatabaseSync } {
  for (;;) {
    const chosen = uniqueCase(random);
    const db = new DatabaseSync(":memory:");
    try {
      db.exec(chosen.sql);
      return { case: chosen, db };
    } catch {
      // Not every expression may be indexed: the next one.
      db.close();
    }
  }
}

Deno.test("an event removes exactly the rows that OR REPLACE would remove, whatever is UNIQUE", async () => {
  for (let number = 0; number < CASES; number++) {
    const random = new Random(seed + number);
    const { case: chosen, db } = validCase(random);
    await using lab = await CoreLab.open(chosen.sql);
    for (let at = 0; at < EVENTS; at++) {
      const row = randomRow(random, chosen);
      const before = lab.lines(contents(chosen));
      await lab.receive({ table: "t", type: "insert", row, ts: LAB_TIME_NS + BigInt(at) });
      replace(db, chosen, row);
      const expected = db.prepare(contents(chosen)).all().map((line) => `'${Object.values(line)[0]}'`);
      const story = `HARMONYLITE_SEED=${seed + number}, event ${at}: ${chosen.sql}\n${
        JSON.stringify(row, (_, value) => typeof value === "bigint" ? `${value}n` : value)
      } over\n${before.join("\n")}`;
      assert.deepEqual(lab.quarantined, [], story);
      assert.deepEqual(lab.lines(contents(chosen)), expected, story);
    }
    db.close();
  }
});

Deno.test("every row that OR REPLACE removes is logged as deleted, whatever is UNIQUE", async () => {
  for (let number = 0; number < CASES; number++) {
    const random = new Random(seed + number);
    const { case: chosen, db } = validCase(random);
    db.close();
    await using lab = await CoreLab.open(chosen.sql);
    const log = `"__harmonylite__t_change_log"`;
    const keys = (): Set<string> => new Set(lab.lines(`SELECT ${identity(chosen, (name) => name)} FROM t`));
    const logged = `SELECT DISTINCT ${
      identity(chosen, (name) => `"val_${name}"`)
    } FROM ${log} WHERE type = 'delete'`;
    for (let at = 0; at < EVENTS; at++) {
      const row = randomRow(random, chosen);
      const before = keys();
      lab.run(`DELETE FROM ${log}`);
      replace(lab.application, chosen, row);
      const removed = before.difference(keys());
      assert.deepEqual(
        lab.lines(logged).toSorted(),
        [...removed].toSorted(),
        `HARMONYLITE_SEED=${seed + number}, write ${at}: ${chosen.sql}`,
      );
    }
  }
});
