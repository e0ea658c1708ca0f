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

/** What an application needs at least, as the triggers run in its SQLite. */
export const MIN_SQLITE = "3.35.0";

/** Whether one version is another or a newer one: `3.9.0` is older than `3.35`. */
export function isAtLeast(version: string, wanted: string): boolean {
  const [a, b] = [version, wanted].map((text) => text.split(".").map(Number)) as [number[], number[]];
  const at = b.findIndex((part, index) => part !== (a[index] ?? 0));
  return at === -1 || (a[at] ?? 0) > b[at]!;
}
