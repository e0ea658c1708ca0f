import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";
import { markPublished } from "../publish/acknowledgement.ts";
import { logIncomplete } from "./incomplete.ts";

Deno.test("what was written to a new column before the triggers knew it is logged, also if its change was sent", async () => {
  await using lab = await CoreLab.open(
    `CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE n (k TEXT PRIMARY KEY, a);
     INSERT INTO t VALUES (9, 9)`,
  );
  lab.run("INSERT INTO t VALUES (1, 1)");
  const [sent] = await lab.read();
  await markPublished(lab.database, lab.schema, sent!.changes, { shard: 1, sequence: 7 });
  lab.run("ALTER TABLE t ADD COLUMN b; ALTER TABLE n ADD COLUMN b");
  lab.run(
    "UPDATE t SET b = 2 WHERE id = 1; INSERT INTO t VALUES (2, 2, 3), (3, 3, 3); DELETE FROM t WHERE id = 3",
  );
  lab.run("INSERT INTO n VALUES ('x', 1, 4), (NULL, 1, 5)");
  await lab.schema.refresh();
  lab.run("INSERT INTO t VALUES (4, 4, 4)");
  await lab.database.write(() => logIncomplete(lab.database, lab.schema.current));
  assert.deepEqual(lab.captured("t", "id", "b").slice(-2), ["update|1|2", "update|2|3"]);
  assert.deepEqual(lab.captured("n", "k", "b").slice(-2), ["update|x|4", "update|NULL|5"]);
  const before = lab.captured("t", "id").length;
  lab.run(`UPDATE "__harmonylite__t_change_log" SET shard = 1, sequence = 8;
    UPDATE "__harmonylite__n_change_log" SET shard = 1, sequence = 8;
    INSERT INTO "__harmonylite___position" (stream, shard, sequence) VALUES ('lab-1', 1, 8)`);
  await lab.database.write(() => logIncomplete(lab.database, lab.schema.current));
  assert.equal(lab.captured("t", "id").length, before, "what has come back was looked at then");
});
