import { logRow, TICK } from "../capture/trigger_sql.ts";
import { type FollowedTable, rowKinds, type Schema, shapesOf } from "../schema/followed_tables.ts";
import { changeLog, GLOBAL_LOG, valueColumn } from "../schema/names.ts";
import { ofKind } from "../schema/row_conditions.ts";
import { presentName } from "../schema/shape_history.ts";
import type { Database } from "../sqlite/database.ts";
import { literal, quote } from "../sqlite/identifier.ts";
import { ON_ITS_WAY } from "./overlay.ts";

/**
 * Logs anew, in full, every row whose own changes on their way lack columns: what the application wrote to a new column
 * before our triggers knew it is in none of them. As a rule that is found out when a change comes back; this is for a
 * node that will not know its changes then. Inside a write transaction.
 */
export function logIncomplete(database: Database, schema: Schema): void {
  for (const table of schema.tables.values()) {
    for (const rows of rowKinds(table)) {
      const shapes = incompleteShapes(schema, rows);
      if (shapes.length > 0) logRows(database, table, isIncomplete(rows, shapes));
    }
  }
}

/** Ids of the shapes that this kind of rows had before a column was added. */
function incompleteShapes(schema: Schema, { name, columns, key }: FollowedTable): number[] {
  const shapes = shapesOf(schema, name);
  return shapes
    .filter((shape) => shape.key.length === key.length)
    .filter((shape) => {
      const had = shape.columns.map((column) => presentName(shapes, column));
      return key.every((column) => had.includes(column.name)) &&
        columns.some(({ name }) => !had.includes(name));
    })
    .map(({ id }) => id);
}

/** A condition on `row`. The keys are listed once: a change log has no index to look them up one by one. */
function isIncomplete(rows: FollowedTable, shapes: readonly number[]): string {
  const key = rows.key.map(({ name }) => `row.${quote(name)}`).join(", ");
  const logged = rows.key.map(({ name }) => quote(valueColumn(name))).join(", ");
  return `(${key}) IN (SELECT ${logged} FROM ${quote(changeLog(rows.name))} AS log
    WHERE log.type <> 'delete' AND log.shape IN (${shapes.join(", ")}) AND ${ON_ITS_WAY})${
    ofKind(rows, (column) => `row.${quote(column)}`)
  }`;
}

function logRows(database: Database, table: FollowedTable, condition: string): void {
  const log = quote(changeLog(table.name));
  const last = database.value(`SELECT max(id) FROM ${log}`) ?? 0n;
  const [change] = logRow(table, "update", condition);
  database.run(TICK);
  database.run(change!);
  database.run(
    `INSERT INTO ${quote(GLOBAL_LOG)} (change_table_id, table_name)
     SELECT id, ${literal(table.name)} FROM ${log} WHERE id > ? ORDER BY id`,
    last,
  );
}
