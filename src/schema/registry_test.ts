import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";
import { eventually } from "../../tests/support/eventually.ts";
import type { Logger } from "../observe/logger.ts";
import { silentLogger } from "../observe/logger.ts";
import { MemoryBuckets, type MemoryKeyValue } from "../stream/memory_key_value.ts";
import type { Schema } from "./followed_tables.ts";
import { REGISTRY_BUCKET, SchemaRegistry } from "./registry.ts";
import { decodeEntry, encodeEntry } from "./registry_entry.ts";

const MINUTE_MS = 60_000;
const signal = new AbortController().signal;
const EMPTY = new TextEncoder().encode('{"tables":{},"past":{}}');
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A cluster's registry as some nodes see it, at one time for all. */
class Registries {
  readonly buckets = new MemoryBuckets();
  nowMs = 0;

  open(node: bigint, logger: Logger = silentLogger): { registry: SchemaRegistry; store: MemoryKeyValue } {
    const store = this.buckets.connect({ bucket: REGISTRY_BUCKET, folder: "", replicas: 1 });
    return { store, registry: new SchemaRegistry({ store, node, logger, now: () => this.nowMs }) };
  }
}

async function schemaOf(...sql: string[]): Promise<Schema> {
  await using lab = await CoreLab.open(sql[0]!);
  for (const statement of sql.slice(1)) {
    lab.run(statement);
    await lab.schema.refresh(signal);
  }
  return lab.schema.current;
}

Deno.test("a node learns what the others have, had, and never had", async () => {
  const registries = new Registries();
  const [ours, theirs] = [registries.open(1n), registries.open(2n)];
  await ours.registry.announce(await schemaOf("CREATE TABLE t (id INTEGER PRIMARY KEY, a)"), signal);
  await theirs.registry.announce(
    await schemaOf(
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, "__proto__"); CREATE TABLE new_t (x PRIMARY KEY); CREATE TABLE old_name (x)',
      'ALTER TABLE old_name RENAME TO new_name; DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a, "__proto__"); DROP TABLE new_t; CREATE TABLE bare (v)',
    ),
    signal,
  );
  await ours.registry.read(signal);
  registries.nowMs += MINUTE_MS;
  const cluster = await ours.registry.read(signal);
  assert.deepEqual(cluster.find("bare"), { state: "there", node: "2" });
  assert.deepEqual(cluster.find("t", "__proto__"), { state: "there", node: "2" });
  assert.deepEqual(cluster.find("t", "b"), { state: "past" });
  assert.deepEqual(cluster.find("new_t"), { state: "past" });
  assert.deepEqual(cluster.find("new_t", "x"), { state: "past" });
  assert.deepEqual(cluster.find("old_name"), { state: "past" });
  assert.deepEqual(cluster.find("new_name"), { state: "there", node: "2" });
  assert.deepEqual(cluster.find("new_t", "y"), { state: "never" });
  assert.deepEqual(cluster.find("t", "constructor"), { state: "never" });
  assert.deepEqual(cluster.find("T"), { state: "never" });
  assert.deepEqual(cluster.findKey("t", ["a", "id"]), { state: "there", node: "1" });
  assert.deepEqual(cluster.findKey("bare", ["rowid"]), { state: "there", node: "2" });
  assert.deepEqual(cluster.findKey("t", ["a"]), { state: "never" });
  assert.equal(await ours.registry.read(signal, cluster), cluster, "nothing has changed since");
});

Deno.test("what a node has sent is not forgotten when it comes back with an older copy of its database", async () => {
  const registries = new Registries();
  const { registry } = registries.open(1n);
  const older = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, old); CREATE TABLE u (id INTEGER PRIMARY KEY, v)",
    "ALTER TABLE t DROP COLUMN old",
  ];
  const newer = [
    "ALTER TABLE t RENAME COLUMN a TO b; ALTER TABLE t ADD COLUMN c; ALTER TABLE u RENAME COLUMN v TO w;" +
    'CREATE TABLE "__proto__" (k PRIMARY KEY); CREATE TABLE passing (p)',
    "ALTER TABLE t DROP COLUMN c; DROP TABLE passing",
  ];
  const dropped = ['DROP TABLE u; DROP TABLE "__proto__"'];
  await registry.announce(await schemaOf(...older), signal);
  await registry.read(signal);
  registries.nowMs += MINUTE_MS;
  const states = async (...sql: string[]): Promise<string> => {
    await registry.announce(await schemaOf(...sql), signal);
    const cluster = await registry.read(signal);
    const asked = ["t a", "t b", "t c", "t old", "u v", "u w", "__proto__ k", "passing p", "t never", "u"];
    return asked.map((each) => cluster.find(...each.split(" ") as [string]).state).join(" ");
  };
  assert.equal(await states(...older), "there never never past there never never never never there");
  const after = "past there past past past there there past never there";
  assert.equal(await states(...older, ...newer), after);
  const restored = "there there past past there there there past never there";
  assert.equal(await states(...older), restored, "the columns under their new names stay there");
  assert.equal(await states(...older), restored, "as often as it starts");
  assert.equal((await registry.read(signal)).findKey("__proto__", ["k"]).state, "there");
  assert.equal(await states(...older, ...newer), after, "the changes are made again");
  await states(...older);
  assert.equal(
    await states(...older, "DROP TABLE u"),
    "there there past past past past there past never past",
    "what it gives up with a table that it has itself is past",
  );
  assert.equal(
    await states(...older, ...newer, ...dropped),
    "past there past past past past past past never past",
  );
});

Deno.test("what is missing proves nothing until the registry is settled and holds our own entry", async () => {
  const registries = new Registries();
  const { registry, store } = registries.open(1n);
  const schema = await schemaOf("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  const reasonFor = async (): Promise<string> => {
    const found = (await registry.read(signal)).find("x");
    return found.state === "unsaid" ? found.reason : found.state;
  };
  assert.match(await reasonFor(), /no schema registry yet/);
  await registry.announce(schema, signal);
  assert.match(await reasonFor(), /met a moment ago/);
  registries.nowMs += MINUTE_MS;
  assert.equal(await reasonFor(), "never");
  for (const entry of ["[]", '{"node_id":7,"schema_hash":"x"}', '{"tables":{"t":7}}', '{"tables":7}']) {
    await store.put("node-7", text(entry), signal);
    assert.match(await reasonFor(), /node 7 does not say/, entry);
  }
  await store.put("node-7", EMPTY, signal);
  await store.put("stranger", text("?"), signal);
  assert.equal(await reasonFor(), "never");
  for (let node = 10; node < 1_010; node++) await store.put(`node-${node}`, EMPTY, signal);
  assert.match(await reasonFor(), /has \d+ entries/);
  registries.buckets.delete(REGISTRY_BUCKET);
  await store.put("node-7", EMPTY, signal);
  assert.match(await reasonFor(), /own entry is not in/);
});

Deno.test("an entry that was lost with its server's store is put again, and a new schema replaces it", async () => {
  const registries = new Registries();
  const { registry, store } = registries.open(1n);
  const old = await schemaOf("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  let schema = old;
  const stop = new AbortController();
  const running = registry.run({ signal: stop.signal, schema: () => schema });
  const entry = (): Promise<Uint8Array | undefined> => store.get("node-1", signal);
  await eventually("the entry is there", async () => await entry() !== undefined);
  registries.buckets.delete(REGISTRY_BUCKET);
  await eventually("the entry is there again", async () => await entry() !== undefined);
  schema = await schemaOf("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  await eventually("the new schema is told", async () => {
    assert.ok(decodeEntry("1", (await entry())!).tables?.get("t")?.columns.has("a"));
  });
  stop.abort();
  await running;
});

Deno.test("the schema is announced as soon as the registry can be reached, and the wait is said once", async () => {
  const registries = new Registries();
  const said: string[] = [];
  const { registry, store } = registries.open(1n, { ...silentLogger, warn: (message) => said.push(message) });
  const schema = await schemaOf("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  store.setConnected(false);
  let announced = false;
  const announcing = registry.announce(schema, signal).then(() => announced = true);
  await eventually("it was tried", () => said.length > 0);
  assert.equal(announced, false);
  await assert.rejects(registry.read(signal), /connection lost/);
  store.setConnected(true);
  await announcing;
  assert.deepEqual(said, ["Unable to announce the schema, nothing is published before"]);
});

Deno.test("an entry is JSON with the names of the Go original, and a node id beyond 2^53 stays what it is", async () => {
  const schema = await schemaOf("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  const node = 2n ** 63n - 1n;
  const bytes = encodeEntry(node, schema, { updatedAt: new Date(0), maxBytes: 1_000_000 });
  assert.equal(
    new TextDecoder().decode(bytes),
    `{"node_id":9223372036854775807,"schema_hash":"${schema.hash}","updated_at":"1970-01-01T00:00:00.000Z",` +
      `"tables":{"t":{"columns":["a","id"],"key":["id"]}},"past":{}}`,
  );
});

Deno.test("300 tables of 500 columns fit into one entry, and a schema that fits nowhere is told by its hash", () => {
  const names = Array.from({ length: 500 }, (_, at) => `column_${crypto.randomUUID()}_${at}`);
  const columns = names.map((name) => ({ name }));
  const tables = Array.from(
    { length: 300 },
    (_, at) => [`table_${at}`, { columns, key: [columns[0]] }] as const,
  );
  const schema = { hash: "h", shapes: new Map(), tables: new Map(tables) } as unknown as Schema;
  const bytes = encodeEntry(1n, schema, { updatedAt: new Date(0), maxBytes: 1_000_000 });
  assert.equal(decodeEntry("1", bytes).tables?.get("table_299")?.columns.has(names[499]!), true);
  const short = encodeEntry(1n, schema, { updatedAt: new Date(0), maxBytes: 10_000 });
  assert.ok(short.length < 10_000);
  assert.equal(decodeEntry("1", short).tables, undefined);
});
