import assert from "node:assert/strict";
import { parseConfig } from "./parse.ts";
import { valueOf } from "./config.ts";
import { renderExample } from "./example.ts";
import { ENTRIES, SECTIONS } from "./schema.ts";
import { renderConfigTable } from "./table.ts";

Deno.test("each setting has help, and an environment variable of its own", () => {
  for (const { key, setting } of ENTRIES) assert.match(setting.help, /^[\w`"(*?].{4,}/, key);
  assert.equal(new Set(ENTRIES.map(({ variable }) => variable)).size, ENTRIES.length);
});

Deno.test("the type Config and the values agree: each entry has a value", () => {
  const config = parseConfig('db_path = "/d"');
  for (const entry of ENTRIES) assert.notEqual(valueOf(config, entry), undefined, entry.key);
});

Deno.test("the annotated example is valid as it is written", () => {
  const config = parseConfig(renderExample());
  assert.equal(config.dbPath, "/var/lib/harmonylite/data.db");
  assert.deepEqual(config.nats.urls, []);
});

Deno.test("the annotated example names every key, and what is a comment in it is the default", () => {
  const example = renderExample();
  const active = example.replaceAll(/^#(\w)/gm, "$1");
  assert.deepEqual(parseConfig(active), parseConfig(example));
  for (const { name } of ENTRIES) assert.match(example, new RegExp(`^#?${name} = `, "m"));
  for (const line of example.split("\n")) assert.ok(line.length <= 120, line);
});

Deno.test("the annotated example takes values that the user chose", () => {
  const config = parseConfig(
    renderExample({ db_path: '"/x.db"', node_id: "7", "replication_log.shards": "3" }),
  );
  assert.deepEqual([config.dbPath, config.nodeId, config.replicationLog.shards], ["/x.db", 7n, 3]);
});

Deno.test("the table of the README has a row for each key, in four columns", () => {
  const rows = renderConfigTable().split("\n").filter((line) => line.startsWith("| `"));
  assert.equal(rows.length, ENTRIES.length);
  for (const row of rows) assert.equal(row.split("|").length, 6, row);
  for (const section of SECTIONS.keys()) assert.ok(renderConfigTable().includes(`\`[${section}]\``), section);
});
