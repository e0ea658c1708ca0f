import { APPLICATION_SCHEMA, type ApplicationReport } from "./application.ts";

const TABLES = { "customers": "id", "orders": "number", "audit trail": "id" } as const;

/**
 * The application's tables with triggers of the user that enter every change into a journal: each change that an
 * application reports must be there once on every node, whatever was killed meanwhile.
 */
export const JOURNALED_SCHEMA = `${APPLICATION_SCHEMA}
CREATE TABLE journal (id TEXT PRIMARY KEY, source TEXT, operation TEXT, row_id ANY) WITHOUT ROWID;
${Object.entries(TABLES).map(([table, key]) => journalTriggers(table, key)).join("\n")}`;

function journalTriggers(table: string, key: string): string {
  const trigger = (operation: string, row: string): string =>
    `CREATE TRIGGER "journal ${table} ${operation}" AFTER ${operation} ON "${table}" BEGIN
      INSERT INTO journal VALUES (hex(randomblob(16)), '${table}', '${operation}', ${row}."${key}");
    END;`;
  return [trigger("INSERT", "NEW"), trigger("UPDATE", "NEW"), trigger("DELETE", "OLD")].join("\n");
}

/** What the applications wrote together. */
export interface Written {
  readonly inserts: number;
  readonly updates: number;
  readonly deletes: number;
  readonly errors: number;
}

export function sumReports(reports: readonly ApplicationReport[]): Written {
  const sum = (name: keyof Written): number => reports.reduce((total, report) => total + report[name], 0);
  return { inserts: sum("inserts"), updates: sum("updates"), deletes: sum("deletes"), errors: sum("errors") };
}

/** Counts the journal of a database, to be compared with {@link sumReports}. */
export const JOURNAL_COUNTS = `SELECT count(*) FILTER (WHERE operation = 'INSERT'),
  count(*) FILTER (WHERE operation = 'UPDATE'), count(*) FILTER (WHERE operation = 'DELETE') FROM journal`;

/** How many rows of all three tables there are. */
export const ROW_COUNT = `SELECT (SELECT count(*) FROM customers) + (SELECT count(*) FROM orders)
  + (SELECT count(*) FROM "audit trail")`;
