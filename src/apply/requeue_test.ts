import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";
import { readPosition, readPositions, storePosition } from "./position.ts";
import { requeueUnread } from "./requeue.ts";

Deno.test("own changes beyond what was read of a lost stream become pending again, others do not", async () => {
  await using lab = await CoreLab.open(
    "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE u (id INTEGER PRIMARY KEY)",
  );
  lab.run("INSERT INTO t VALUES (1), (2), (3), (4); INSERT INTO u VALUES (5)");
  lab.run(
    `DELETE FROM "__harmonylite___global_change_log";
     UPDATE "__harmonylite__t_change_log" SET state = 1, shard = 1, sequence = id;
     UPDATE "__harmonylite__t_change_log" SET shard = 2 WHERE id = 4;
     UPDATE "__harmonylite__u_change_log" SET state = 1, shard = 1, sequence = 9`,
  );
  const lost = { stream: "lab-1", shard: 1, created: "then", sequence: 2, time: 0n };
  await lab.database.write(() => requeueUnread(lab.database, lost));
  assert.deepEqual([lab.captured("t", "id"), lab.captured("u", "id")], [["insert|3"], ["insert|5"]]);
  assert.deepEqual(
    lab.lines(`SELECT id, state, sequence FROM "__harmonylite__t_change_log"`),
    ["1|1|1", "2|1|2", "3|0|NULL", "4|1|4"],
  );
});

Deno.test("a position is stored with all it says", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  const position = { stream: "lab-1", shard: 1, created: "then", sequence: 7, time: 2n ** 62n };
  await lab.database.write(() => storePosition(lab.database, position));
  await lab.database.write(() => storePosition(lab.database, { ...position, sequence: 8 }));
  assert.deepEqual(readPositions(lab.database), [{ ...position, sequence: 8 }]);
  assert.equal(readPosition(lab.database, "lab-2"), undefined);
});
