import assert from "node:assert/strict";
import { startApplication } from "./application_process.ts";
import { compareDatabases, dumpTable } from "./database.ts";
import { makeTempDir } from "./temp.ts";

Deno.test("an application writes the same rows for the same seed", async () => {
  await using dir = await makeTempDir();
  const options = { seed: 42, count: 300, rowsPerTransaction: 2, sharedPart: 0.2 };
  await using first = await startApplication({ ...options, db: dir.file("a") });
  await using second = await startApplication({ ...options, db: dir.file("b") });
  const [report] = await Promise.all([first.finished(), second.finished()]);
  assert.deepEqual(compareDatabases([dir.file("a"), dir.file("b")]), []);
  assert.equal(report.transactions, 300);
  assert.equal(report.errors, 0, String(report.lastError));
  assert.ok(report.inserts > 200 && report.updates > 50 && report.deletes > 10, JSON.stringify(report));
});

Deno.test("an application stops on SIGTERM and reports what it wrote", async () => {
  await using dir = await makeTempDir();
  await using application = await startApplication({ db: dir.file("a"), rate: 100, firstId: 1_000_000 });
  const report = await application.stop();
  assert.equal(report.errors, 0);
  assert.ok(dumpTable(dir.file("a"), "customers").rows.every((row) => !row.includes("integer 1,")));
});
