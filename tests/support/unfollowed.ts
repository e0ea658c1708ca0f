import { createDatabase, userTables } from "./database.ts";
import { runOldSql } from "./old_sqlite.ts";

/**
 * A database that nobody replicates: what an application sees of it is what it must see of one that we follow.
 *
 * Its tables have triggers that do nothing, as SQLite may visit the rows of an UPDATE in another order where there is any
 * trigger, and with OR REPLACE, OR IGNORE and OR FAIL the order decides which rows stay.
 */
export class Unfollowed {
  readonly dbPath: string;

  private constructor(dbPath: string) {
    this.dbPath = dbPath;
  }

  static async create(dbPath: string, schema: string): Promise<Unfollowed> {
    await createDatabase(dbPath, schema);
    const triggers = userTables(dbPath).flatMap((table) =>
      ["INSERT", "UPDATE", "DELETE"].flatMap((event) =>
        ["BEFORE", "AFTER"].map((time) =>
          `CREATE TRIGGER "${table} ${time} ${event}" ${time} ${event} ON "${table}" BEGIN SELECT 1; END;`
        )
      )
    );
    await runOldSql(dbPath, triggers.join("\n"));
    return new Unfollowed(dbPath);
  }
}
