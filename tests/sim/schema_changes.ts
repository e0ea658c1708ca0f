import type { Random } from "./random.ts";
import { LATE, type SimTable } from "./tables.ts";

/** A step by which a schema goes on; all nodes take the same ones in the same order, each when it likes. */
export interface SchemaChange {
  readonly sql: string;
  readonly table: string;
  readonly isDrop: boolean;
  /** The table after it; `undefined` before it was created. */
  readonly apply: (table: SimTable | undefined) => SimTable;
}

/** Columns that have no index of their own: only those can be dropped. */
const LOOSE_COLUMN = "a";
/** Tables whose rows are told apart by their key alone, and on which no row makes room for another. */
const TRIGGERED = ["plain", "pair", "folded", "loose"];

/** The changes of one run: a new column, another name, one column less, a new table, each perhaps. */
export function randomSchemaChanges(random: Random, tables: readonly SimTable[]): SchemaChange[] {
  const changes = tables.flatMap((table) => changesOf(random, table));
  if (random.chance(0.3)) changes.push(createTable(LATE));
  return changes;
}

/**
 * Triggers that change the row they were fired by, as for an `updated_at`. Until the node has noticed them they fire before
 * ours, which see another row then than the one that stands.
 */
function createTriggers({ name, key }: SimTable): SchemaChange {
  const row = key.map((column) => `${column} IS NEW.${column}`).join(" AND ");
  const triggers = ["INSERT", "UPDATE"].map((event) =>
    `CREATE TRIGGER ${name}_after_${event} AFTER ${event} ON ${name} WHEN NEW.x NOT LIKE '%!'
     BEGIN UPDATE ${name} SET x = NEW.x || '!' WHERE ${row}; END`
  );
  return { sql: triggers.join("; "), table: name, isDrop: false, apply: (table) => table! };
}

function changesOf(random: Random, table: SimTable): SchemaChange[] {
  const { name, columns } = table;
  const changes: SchemaChange[] = [];
  let present = LOOSE_COLUMN;
  if (columns.includes(LOOSE_COLUMN)) {
    if (random.chance(0.3)) changes.push(renameColumn(name, present, present = "b"));
    if (random.chance(0.3)) changes.push(dropColumn(name, present));
  }
  if (random.chance(0.5)) changes.splice(random.below(changes.length + 1), 0, addColumn(name, "c"));
  if (TRIGGERED.includes(table.name) && random.chance(0.4)) {
    changes.splice(random.below(changes.length + 1), 0, createTriggers(table));
  }
  return changes;
}

function addColumn(table: string, column: string): SchemaChange {
  return alter(table, `ADD COLUMN ${column} DEFAULT 0`, (before) => ({
    columns: [...before.columns.slice(0, -1), column, "x"],
    values: [...before.values, ["0", "1", "2"]],
  }));
}

function renameColumn(table: string, from: string, to: string): SchemaChange {
  return alter(table, `RENAME COLUMN ${from} TO ${to}`, ({ columns }) => ({
    columns: columns.map((column) => column === from ? to : column),
  }));
}

function dropColumn(table: string, column: string): SchemaChange {
  return alter(table, `DROP COLUMN ${column}`, ({ columns, key, values }) => ({
    columns: columns.filter((each) => each !== column),
    values: values.filter((_, at) => columns[key.length + at] !== column),
  }));
}

function alter(table: string, what: string, apply: (before: SimTable) => Partial<SimTable>): SchemaChange {
  return {
    sql: `ALTER TABLE ${table} ${what}`,
    table,
    isDrop: what.startsWith("DROP"),
    apply: (before) => ({ ...before!, ...apply(before!) }),
  };
}

function createTable(table: SimTable): SchemaChange {
  return { sql: table.create, table: table.name, isDrop: false, apply: () => table };
}

/** The tables of a node that has taken the first `level` changes. */
export function tablesAt(
  tables: readonly SimTable[],
  changes: readonly SchemaChange[],
  level: number,
): SimTable[] {
  const byName = new Map(tables.map((table) => [table.name, table]));
  for (const { table, apply } of changes.slice(0, level)) byName.set(table, apply(byName.get(table)));
  return [...byName.values()];
}
