import assert from "node:assert/strict";
import { CoreLab, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import type { SqlValue } from "../wire/event.ts";
import { main } from "./cli.ts";

const T = LAB_TIME_NS;

function put(node: bigint, ms: bigint, row: Record<string, SqlValue>): LabEvent {
  return { table: "t", type: "insert", row, ts: T + ms * 1_000_000n, node };
}

async function call(
  lab: CoreLab,
  ...args: string[]
): Promise<[code: number, stdout: string, stderr: string]> {
  const texts = { stdout: "", stderr: "" };
  const config = `${lab.path}.toml`;
  await Deno.writeTextFile(config, `db_path = ${JSON.stringify(lab.path)}\nnode_id = 5\n`);
  const code = await main([...args, "-config", config], {
    stdout: { write: (text) => void (texts.stdout += text) },
    stderr: { write: (text) => void (texts.stderr += text) },
    signal: new AbortController().signal,
  });
  return [code, texts.stdout, texts.stderr];
}

Deno.test("conflicts list tells what was overridden, by whom and why, the newest first", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, a)");
  assert.deepEqual(await call(lab, "conflicts", "list"), [0, "No write was overridden.\n", ""]);
  await lab.receive(
    put(9n, 2n, { id: 1n, u: 7n, a: "won" }),
    put(8n, 1n, { id: 1n, u: 7n, a: "it's\x1b[2J\nlost" }),
  );
  await lab.receive(put(8n, 3n, { id: 2n, u: 7n, a: new Uint8Array(100) }));
  const [code, stdout, stderr] = await call(lab, "conflicts", "list");
  assert.deepEqual([code, stderr], [0, ""]);
  const lines = stdout.replace(/20\d\d-\d\d-\d\d \d\d:\d\d:\d\d(?= )/g, "NOW").split("\n");
  assert.deepEqual(lines, [
    "#2  NOW  t  id = 1",
    "  node 9 wrote it at 2100-01-01 00:00:00.002; a row that node 8 wrote at 2100-01-01 00:00:00.003 took its UNIQUE value",
    "  a = 'won', u = 7",
    "",
    "#1  NOW  t  id = 1",
    "  node 8 wrote it at 2100-01-01 00:00:00.001; node 9 wrote the row later, at 2100-01-01 00:00:00.002",
    "  a = 'it''s\\u001b[2J\\u000alost', u = 7",
    "",
    "`harmonylite conflicts restore ID` puts a row back as a new write.",
    "",
  ]);
  assert.match(
    (await call(lab, "conflicts", "--limit", "1"))[1],
    /^#2 .*The newest 1; --limit N shows more\.\n$/s,
  );
  assert.equal((await call(lab, "conflicts", "--table", "other"))[1], "No write was overridden.\n");
});

Deno.test("conflicts list --json holds every value in full, and numbers that JSON cannot as texts", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  const id = (1n << 63n) - 1n;
  await lab.receive(put(9n, 2n, { id, a: 1n }), put(id, 1n, { id, a: new Uint8Array(100) }));
  const [code, stdout] = await call(lab, "conflicts", "list", "--json");
  assert.equal(code, 0);
  const [{ at, ...conflict }] = JSON.parse(stdout);
  assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000, at);
  assert.deepEqual(conflict, {
    id: 1,
    table: "t",
    reason: "older",
    key: { id: String(id) },
    row: { a: `x'${"00".repeat(100)}'`, id: String(id) },
    overridden: { node: String(id), written_at: "2100-01-01T00:00:00.001Z", ts: String(T + 1_000_000n) },
    winner: { node: "9", written_at: "2100-01-01T00:00:00.002Z", ts: String(T + 2_000_000n) },
  });
});

Deno.test("conflicts restore says what it did, or why not, with an exit code", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)");
  await lab.receive(put(9n, 2n, { id: 1n, a: 1n, b: 1n }), put(8n, 1n, { id: 1n, a: 2n, b: 2n }));
  lab.run("ALTER TABLE t DROP COLUMN b");
  await lab.schema.refresh();
  const [code, stdout, stderr] = await call(lab, "conflicts", "restore", "1");
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(
    stdout,
    /^The row id = 1 of t is back\. .*\nNot put back, as the table has no such columns any more: b\n$/,
  );
  assert.match(
    (await call(lab, "conflicts", "restore", "1"))[1],
    /is already as it was; nothing was written/,
  );
  const unknown = await call(lab, "conflicts", "restore", "2");
  assert.deepEqual(unknown.slice(0, 2), [1, ""]);
  assert.match(
    unknown[2],
    /^harmonylite: Cannot put back conflict 2: there is none .*\n {2}`harmonylite conflicts list`/,
  );
  assert.equal((await call(lab, "conflicts", "restore"))[0], 2);
});

Deno.test("conflicts restore refuses where the row would come back alone", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
  await lab.receive(put(9n, 2n, { id: 1n, a: 1n }), put(8n, 1n, { id: 1n, a: 2n }));
  Deno.env.set("HARMONYLITE_PUBLISH", "false");
  try {
    const [code, , stderr] = await call(lab, "conflicts", "restore", "1");
    assert.equal(code, 1);
    assert.match(stderr, /this node has publish = false/);
  } finally {
    Deno.env.delete("HARMONYLITE_PUBLISH");
  }
  assert.deepEqual(lab.lines("SELECT * FROM t"), ["1|1"]);
});
