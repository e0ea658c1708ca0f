import assert from "node:assert/strict";
import { startProcess } from "../../tests/support/process.ts";
import { makeTempDir } from "../../tests/support/temp.ts";
import { DatabaseError } from "../lib/errors.ts";
import { Database } from "./database.ts";

/** Keeps everybody out for so long, as a commit with a rollback journal does. */
function program(path: string, seconds: number): string {
  return `import sqlite3, time
db = sqlite3.connect(${JSON.stringify(path)}, isolation_level=None)
db.execute("CREATE TABLE IF NOT EXISTS t (a)")
db.execute("BEGIN EXCLUSIVE")
print("holding", flush=True)
time.sleep(${seconds})
db.execute("COMMIT")`;
}

Deno.test("a database is opened though somebody commits at that moment", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("a.db");
  await using holder = startProcess({ name: "holder", command: "python3", args: ["-c", program(path, 0.3)] });
  await holder.waitForLog("holding");
  using database = Database.open(path, { readOnly: true });
  assert.equal(await database.read(() => database.count("SELECT count(*) FROM t")), 0);
});

Deno.test("a database that stays locked for everybody is told apart from one that cannot be used", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("a.db");
  await using holder = startProcess({ name: "holder", command: "python3", args: ["-c", program(path, 600)] });
  await holder.waitForLog("holding");
  assert.throws(
    () => Database.open(path),
    (error) => error instanceof DatabaseError && error.code === "DATABASE_LOCKED",
  );
});
