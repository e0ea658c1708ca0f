import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS } from "../../tests/support/core_lab.ts";
import type { FollowedTable } from "../schema/followed_tables.ts";
import { keyText } from "./key_text.ts";
import { Overlay } from "./overlay.ts";

const T = LAB_TIME_NS;

/** How long after the lab's time the newest own change of each row was made, as a new transaction sees it. */
async function seen(lab: CoreLab, overlay: Overlay, ...ids: bigint[]): Promise<(bigint | undefined)[]> {
  const table = tableOf(lab);
  return await lab.database.write(() => {
    overlay.begin();
    return ids.map((id) => {
      const own = overlay.newest(table, keyText(table.key, [id]));
      return own && own.ts - T;
    });
  });
}

function tableOf(lab: CoreLab): FollowedTable {
  return lab.schema.current.tables.get("t")!;
}

async function open(): Promise<{ lab: CoreLab; overlay: Overlay }> {
  const lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  return { lab, overlay: new Overlay(lab.database) };
}

Deno.test("the newest own change of a row is known from the transaction on that follows it", async () => {
  const { lab, overlay } = await open();
  await using _ = lab;
  assert.deepEqual(await seen(lab, overlay, 1n), [undefined]);
  lab.runAt(T + 1n, "INSERT INTO t VALUES (1, 'x'), (2, 'y')");
  lab.runAt(T + 9n, "UPDATE t SET a = 'z' WHERE id = 1");
  assert.deepEqual(await seen(lab, overlay, 1n, 2n, 3n), [9n, 2n, undefined]);
});

Deno.test("a change that came back is settled, unless a newer one of its row is on its way", async () => {
  const { lab, overlay } = await open();
  await using _ = lab;
  lab.runAt(T + 1n, "INSERT INTO t VALUES (1, 'x')");
  lab.runAt(T + 5n, "UPDATE t SET a = 'y'");
  const table = tableOf(lab);
  const settle = (id: bigint): void => overlay.settle(table, () => keyText(table.key, [1n]), id);
  await seen(lab, overlay);
  assert.deepEqual(await seen(lab, overlay, 1n), [5n]);
  settle(1n);
  assert.deepEqual(await seen(lab, overlay, 1n), [5n]);
  settle(2n);
  assert.deepEqual(await seen(lab, overlay, 1n), [undefined]);
});

Deno.test("what is forgotten is read again: all that the stream is not applied beyond", async () => {
  const { lab, overlay } = await open();
  await using _ = lab;
  lab.runAt(T + 1n, "INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')");
  lab.run(
    `UPDATE "__harmonylite__t_change_log" SET state = 1, shard = 1, sequence = id + 9 WHERE id < 3;
     INSERT INTO "__harmonylite___position" (stream, shard, sequence) VALUES ('lab-1', 1, 10)`,
  );
  assert.deepEqual(await seen(lab, overlay, 1n, 2n, 3n), [undefined, 2n, 3n]);
  lab.run(`UPDATE "__harmonylite___position" SET sequence = 11`);
  overlay.reload();
  assert.deepEqual(await seen(lab, overlay, 1n, 2n, 3n), [undefined, undefined, 3n]);
});

Deno.test("more rows than fit into memory are known all the same, and memory is used again when they are few", async () => {
  const { lab, overlay } = await open();
  await using _ = lab;
  const many = 60_000;
  lab.runAt(
    T + 1n,
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${many}) INSERT INTO t SELECT i, 0 FROM n`,
  );
  assert.deepEqual(await seen(lab, overlay, 1n, BigInt(many), BigInt(many + 1)), [
    1n,
    BigInt(many),
    undefined,
  ]);
  lab.runAt(T + 1_000_000n, "UPDATE t SET a = 1 WHERE id = 7");
  assert.deepEqual(await seen(lab, overlay, 7n, 8n), [1_000_000n, 8n]);
  lab.run(
    `UPDATE "__harmonylite__t_change_log" SET shard = 1, sequence = 1 WHERE id <= ${many};
     INSERT INTO "__harmonylite___position" (stream, shard, sequence) VALUES ('lab-1', 1, 1)`,
  );
  await lab.database.write(() => overlay.shrink());
  assert.deepEqual(await seen(lab, overlay, 7n, 8n), [1_000_000n, undefined]);
});

Deno.test("nothing is missed when the change log was emptied by hand", async () => {
  const { lab, overlay } = await open();
  await using _ = lab;
  lab.runAt(T + 1n, "INSERT INTO t VALUES (1, 'x'), (2, 'y')");
  assert.deepEqual(await seen(lab, overlay, 2n), [2n]);
  lab.run(`DELETE FROM "__harmonylite__t_change_log"`);
  lab.runAt(T + 50n, "UPDATE t SET a = 'z' WHERE id = 2");
  assert.deepEqual(await seen(lab, overlay, 2n), [50n]);
});
