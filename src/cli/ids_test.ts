import assert from "node:assert/strict";
import { openPatientLab, type PatientLab } from "../../tests/support/patient_lab.ts";
import { main } from "./cli.ts";

async function call(
  lab: PatientLab,
  ...args: string[]
): Promise<[code: number, stdout: string, stderr: string]> {
  const texts = { stdout: "", stderr: "" };
  const code = await main([...args, "-config", lab.configPath], {
    stdout: { write: (text) => void (texts.stdout += text) },
    stderr: { write: (text) => void (texts.stderr += text) },
    signal: new AbortController().signal,
  });
  return [code, texts.stdout, texts.stderr];
}

const SCHEMA =
  `CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, a); CREATE TABLE "my ""rows" (n INTEGER PRIMARY KEY, a);
  CREATE TABLE keyed (id TEXT PRIMARY KEY); CREATE TABLE named (id INT PRIMARY KEY)`;

Deno.test("ids shows the range of a node, and the expression for the next id, which works", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA, nodeId: 3 });
  const [code, stdout, stderr] = await call(lab, "ids");
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^Node 3 takes the ids 3000000000001 to 4000000000000\.\n/);
  assert.ok(!stdout.includes("keyed") && !stdout.includes("named"), stdout);
  const read = async (): Promise<{ table: string; next_id_sql: string; highest_in_range: string | null }[]> =>
    JSON.parse((await call(lab, "ids", "--json"))[1]).tables;
  const tables = await read();
  assert.deepEqual(tables.map(({ table }) => table), ["counted", 'my "rows']);
  // Rows of other nodes above and below do not matter.
  lab.sql(`INSERT INTO "my ""rows" VALUES (5, 0), (7000000000000, 0)`);
  const next = tables[1]!.next_id_sql;
  for (const expected of [3000000000001, 3000000000002]) {
    assert.deepEqual(lab.sql(`INSERT INTO "my ""rows" VALUES (${next}, 1) RETURNING n`), [[expected]]);
  }
  assert.equal((await read())[1]!.highest_in_range, "3000000000002");
});

Deno.test("ids set lets AUTOINCREMENT go on in the range, and refuses where SQLite would not keep to it", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA, nodeId: 3, toml: "replicate = false\n" });
  const insert = "INSERT INTO counted (a) VALUES (1) RETURNING id";
  assert.deepEqual(await call(lab, "ids", "set", "Counted"), [
    0,
    "The next row of Counted gets the id 3000000000001.\n",
    "",
  ]);
  assert.deepEqual(lab.sql(insert), [[3000000000001]]);
  // Again: goes on behind what is there.
  assert.match((await call(lab, "ids", "set", "counted"))[1], /gets the id 3000000000002\./);
  assert.deepEqual(lab.sql(insert), [[3000000000002]]);
  lab.writeConfig({ nodeId: 3 });
  assert.match(
    (await call(lab, "ids", "set", "counted"))[1],
    /holds until a row with a higher id comes from another node/,
  );

  lab.sql("INSERT INTO counted VALUES (9000000000000, 0)");
  const refused = await call(lab, "ids", "set", "counted");
  assert.equal(refused[0], 1);
  assert.match(
    refused[2],
    /holds a higher id \(9000000000000\).*\n {2}Let the application name the id: INSERT INTO "counted"/,
  );
  assert.deepEqual(lab.sql(insert), [[9000000000001]], "as SQLite does");
  assert.match((await call(lab, "ids", "set", 'my "rows'))[2], /it has no AUTOINCREMENT/);
  assert.match((await call(lab, "ids", "set", "keyed"))[2], /Cannot find "keyed" among the tables/);
});

Deno.test("ids takes a range from the command line, and asks for one where the node id is too large", async () => {
  await using lab = await openPatientLab({ schema: SCHEMA, nodeId: 9_007_199_254_740_991 });
  const [code, , stderr] = await call(lab, "ids");
  assert.equal(code, 2);
  assert.match(stderr, /is too large for one of its own\n.*--first N and --last N/);
  assert.match((await call(lab, "ids", "--first", "10", "--last", "19"))[1], /takes the ids 10 to 19\./);
  assert.equal((await call(lab, "ids", "--first", "10"))[0], 2);
  assert.equal((await call(lab, "ids", "--first", "10", "--last", "9"))[0], 2);
  assert.equal((await call(lab, "ids", "set"))[0], 2);
  assert.equal((await call(lab, "ids", "put"))[0], 2);
});
