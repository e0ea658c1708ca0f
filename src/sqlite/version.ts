import { DatabaseSync } from "node:sqlite";

/** The SQLite that runs inside this program, such as `3.53.2`; `process.versions` names another one. */
export function sqliteVersion(): string {
  const db = new DatabaseSync(":memory:");
  try {
    return String(db.prepare("SELECT sqlite_version() AS version").get()?.["version"]);
  } finally {
    db.close();
  }
}
