import assert from "node:assert/strict";
import { startCluster } from "../support/cluster.ts";
import { freePort } from "../support/nats_server.ts";

const SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);";

Deno.test("a second node on the same database is refused, the first goes on, and a crash frees the database", async () => {
  await using cluster = await startCluster(1, { schema: SCHEMA });
  const node = cluster.node(1);
  {
    await using second = node.launch();
    assert.equal(await second.exited, 1);
    assert.ok(second.log.has(/Cannot replicate ".*node-1\.db": process \d+ does already/), second.log.tail());
    assert.ok(second.log.has(String(node.process.pid)), second.log.tail());
  }
  await node.sql("INSERT INTO notes VALUES (1, 'still replicated');");
  await node.process.waitForLog("Triggers installed");
  await cluster.converge();
  await node.kill();
  await node.start();
  assert.equal(await node.stop(), 0);
});

Deno.test("a database that is missing, empty of sense or a folder is refused with a sentence and left alone", async () => {
  await using cluster = await startCluster(1, { schema: SCHEMA, choose: () => ({ started: false }) });
  const node = cluster.node(1);
  const noise = crypto.getRandomValues(new Uint8Array(8192));
  const files: Record<string, Uint8Array> = {
    "text.db": new TextEncoder().encode("This is no database, but somebody may need it.\n".repeat(50)),
    "encrypted.db": noise,
  };
  for (const [name, content] of Object.entries(files)) Deno.writeFileSync(`${cluster.dir}/${name}`, content);
  Deno.mkdirSync(`${cluster.dir}/folder.db`);
  const expected = {
    "missing.db": /missing\.db": there is no such file/,
    "text.db": /text\.db": it is not a SQLite file, or it is encrypted/,
    "encrypted.db": /encrypted\.db": it is not a SQLite file, or it is encrypted/,
    "folder.db": /folder\.db/,
  };
  for (const [name, sentence] of Object.entries(expected)) {
    await using process = node.launch({ dbPath: `${cluster.dir}/${name}` });
    assert.equal(await process.exited, 1, process.log.tail());
    assert.ok(process.log.has(sentence), process.log.tail());
    assert.ok(!process.log.has("please report it"), process.log.tail());
  }
  for (const [name, content] of Object.entries(files)) {
    assert.deepEqual(Deno.readFileSync(`${cluster.dir}/${name}`), content);
  }
  assert.throws(() => Deno.statSync(`${cluster.dir}/missing.db`), Deno.errors.NotFound);
});

Deno.test("a NATS server that cannot be reached ends the program after connect_retries, with a sentence", async () => {
  await using cluster = await startCluster(1, { schema: SCHEMA, choose: () => ({ started: false }) });
  const node = cluster.node(1);
  await using process = node.launch({
    natsUrl: `nats://127.0.0.1:${freePort()}`,
    settings: { nats: { connect_retries: 2, reconnect_wait_seconds: 0 } },
  });
  assert.equal(await process.exited, 1);
  assert.ok(process.log.has("Failed to connect to NATS"), process.log.tail());
  // Capture is on already: what is written from now on waits for the server.
  await node.sql("INSERT INTO notes VALUES (1, 'waits');");
  assert.equal(node.pending(), 1);
});
