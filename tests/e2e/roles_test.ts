import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";

Deno.test("publish = false receives and never sends; what was written meanwhile is sent once it is true", async () => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    choose: (id) => ({ top: { publish: id !== 1 } }),
  });
  const [quiet, other] = [cluster.node(1), cluster.node(2)];
  await quiet.process.waitForLog("publish = false: changes are kept here, none is sent");
  await quiet.sql(
    "INSERT INTO notes VALUES (1, 'kept back'), (2, 'removed'); DELETE FROM notes WHERE id = 2;",
  );
  await other.sql("INSERT INTO notes VALUES (10, 'of the other');");
  await eventually(
    "the other's row arrives",
    () => quiet.count("SELECT count(*) FROM notes WHERE id = 10") === 1,
  );
  await other.sql("INSERT INTO notes VALUES (11, 'later');");
  await eventually("the next one, too", () => quiet.count("SELECT count(*) FROM notes WHERE id = 11") === 1);
  assert.equal(quiet.pending(), 3);
  await eventually(
    "the stream holds the other's two messages only",
    () => assert.deepEqual(other.positions(), new Map([[1, 2]])),
  );
  assert.equal(await quiet.stop(), 0);
  assert.equal(quiet.pending(), 3);
  await quiet.start({ top: { publish: true } });
  await cluster.converge();
  assert.deepEqual(other.read("SELECT id FROM notes ORDER BY id").flat(), [1n, 10n, 11n]);
});

Deno.test("replicate = false sends and never applies; what was missed arrives once it is true", async () => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    choose: (id) => ({ top: { replicate: id !== 1, cleanup_interval: 200 } }),
  });
  const [sender, other] = [cluster.node(1), cluster.node(2)];
  await sender.process.waitForLog("replicate = false: what other nodes write is not taken over");
  await other.sql("INSERT INTO notes VALUES (10, 'not for the sender');");
  await eventually("it is sent", () => other.pending() === 0);
  for (const id of [1, 2]) {
    await sender.sql(`INSERT INTO notes VALUES (${id}, 'sent');`);
    await eventually("it arrives", () => other.count(`SELECT count(*) FROM notes WHERE id = ${id}`) === 1);
  }
  await sender.process.waitForLog("Cleaned up DB change logs");
  assert.deepEqual(sender.read("SELECT id FROM notes ORDER BY id").flat(), [1n, 2n]);
  assert.equal(await sender.stop(), 0);
  await sender.start({ top: { replicate: true } });
  await cluster.converge();
  assert.deepEqual(sender.read("SELECT id FROM notes ORDER BY id").flat(), [1n, 2n, 10n]);
});

Deno.test("sleep_timeout ends an idle node with exit code 0, after what was written is sent", async () => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    choose: (id) => id === 1 ? { top: { sleep_timeout: 1500 } } : {},
  });
  const [sleeper, other] = [cluster.node(1), cluster.node(2)];
  for (const id of [1, 2, 3, 4]) {
    await other.sql(`INSERT INTO notes VALUES (${id}, 'keeps it awake');`);
    await eventually("it arrives", () => sleeper.count(`SELECT count(*) FROM notes`) === id);
    // Less than the time-out, but more in sum.
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert.ok(sleeper.process.running, "it went to sleep although changes arrived");
  await sleeper.sql("INSERT INTO notes VALUES (9, 'the last one');");
  assert.equal(await sleeper.process.exited, 0);
  await eventually("the last one has arrived", () => other.count("SELECT count(*) FROM notes") === 5);
});
