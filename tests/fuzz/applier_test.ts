/**
 * Messages that nobody should send, through the applier: whatever comes, it takes effect or goes into quarantine, and two
 * nodes that read the same stream in different helpings end alike. `HARMONYLITE_SEED` repeats a run.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import { ClusterSchemas } from "../../src/schema/cluster_schemas.ts";
import { decodeEntry, encodeEntry } from "../../src/schema/registry_entry.ts";
import { HEADER_BATCH, HEADER_PART, type LogMessage } from "../../src/stream/replication_log.ts";
import { encodeEvent, MAX_TIMESTAMP_NS } from "../../src/wire/codec.ts";
import { compress } from "../../src/wire/compression.ts";
import { type ChangeEvent, type ChangeType, RawText, type SqlValue } from "../../src/wire/event.ts";
import { CoreLab, joined, LAB_NODE, LAB_TIME_NS } from "../support/core_lab.ts";

const RUNS = Number(Deno.env.get("HARMONYLITE_FUZZ_RUNS") ?? 60);
const SCHEMA = `
  CREATE TABLE plain (id INTEGER PRIMARY KEY, a, b TEXT NOT NULL DEFAULT 'x');
  CREATE TABLE pairs (k TEXT, n REAL, v BLOB, PRIMARY KEY (k, n)) WITHOUT ROWID;
  CREATE TABLE mails (id INTEGER PRIMARY KEY, mail TEXT COLLATE NOCASE UNIQUE, x);
  CREATE TABLE bare (v);
  CREATE TABLE strict_one (id INT PRIMARY KEY, n INT, v ANY) STRICT;
  CREATE TABLE "odd "" one" ("select" PRIMARY KEY, "a-b");
  CREATE TABLE loose (k TEXT COLLATE NOCASE PRIMARY KEY, v);
  INSERT INTO plain VALUES (1, 1, 'one'); INSERT INTO mails VALUES (1, 'a@b', 1), (2, 'c@d', 1);
  INSERT INTO bare VALUES ('one'); INSERT INTO loose VALUES ('a', 1), (NULL, 2);
`;
const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  plain: ["a", "b", "id"],
  pairs: ["k", "n", "v"],
  mails: ["id", "mail", "x"],
  bare: ["rowid", "v"],
  strict_one: ["id", "n", "v"],
  'odd " one': ["a-b", "select"],
  loose: ["k", "v"],
};
const TABLES = Object.keys(COLUMNS);

const seed = Number(Deno.env.get("HARMONYLITE_SEED") ?? Date.now() & 0x7fffffff);
console.log(`HARMONYLITE_SEED=${seed}`);

/** Few enough that rows meet. */
const value: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constantFrom<SqlValue>(null, 0n, 1n, 2n, 1, 1.5, "1", "a", "A", "a@b", "A@B", "", new Uint8Array([97])),
  fc.constantFrom<SqlValue>(2n ** 63n - 1n, -(2n ** 63n), Infinity, 9007199254740993n, 1e300, -0, "a\0b"),
  fc.constantFrom<SqlValue>(new RawText(new Uint8Array([0xff])), new RawText(new Uint8Array([0xe2, 0x82]))),
  fc.string({ unit: "binary", maxLength: 5 }),
);
const strangeTable = fc.constantFrom(
  "PLAIN",
  "nowhere",
  "sqlite_schema",
  "sqlite_sequence",
  "__harmonylite___clock",
  "__HARMONYLITE__plain_change_log",
  'plain"; DROP TABLE plain; --',
  "",
  "a\0b",
);
const strangeColumn = fc.constantFrom(
  "rowid",
  "_rowid_",
  "zzz",
  "ID",
  'a" = 1; --',
  "",
  "val_a",
  "__proto__",
);
const ts = fc.oneof(
  { weight: 20, arbitrary: fc.bigInt({ min: 0n, max: 40n }).map((n) => LAB_TIME_NS + n) },
  { weight: 1, arbitrary: fc.constantFrom(1n, MAX_TIMESTAMP_NS) },
);

const event: fc.Arbitrary<Omit<ChangeEvent, "hash">> = fc.record({
  node: fc.constantFrom(1n, 2n, LAB_NODE, 2n ** 63n - 1n),
  id: fc.constantFrom(1n, -1n, 2n ** 63n - 1n),
  type: fc.constantFrom<ChangeType>("insert", "update", "delete"),
  ts: fc.option(ts, { nil: undefined, freq: 20 }),
  table: fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...TABLES) }, {
    weight: 1,
    arbitrary: strangeTable,
  }),
  omitted: fc.oneof({ weight: 6, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat(2) }),
  extra: fc.oneof({ weight: 12, arbitrary: fc.constant([]) }, {
    weight: 1,
    arbitrary: fc.uniqueArray(strangeColumn, { minLength: 1, maxLength: 2 }),
  }),
  values: fc.array(value, { minLength: 5, maxLength: 5 }),
}).map(({ table, omitted, extra, values, ...rest }) => {
  const own = (COLUMNS[table] ?? ["a", "id"]).filter((_, at) => at !== omitted);
  const columns = [...new Set([...own, ...extra])].sort();
  return { ...rest, table, columns, values: columns.map((_, at) => values[at]!), schemaHash: undefined };
});

const name = fc.constantFrom(
  "1-1-9-2-0123456789abcdef",
  "1-1-9-3-0123456789abcdef",
  "7-5-5-2-ffffffffffffffff",
);
const part = fc.constantFrom("1/2", "2/2", "1/3", "2/3", "3/3", "3/2", "0/2", "1/100001");
const nonsense = fc.constantFrom("", "x", "1-9-1-2-0123456789abcdef", "1".repeat(5_000));
const headers: fc.Arbitrary<Record<string, string>> = fc.oneof(
  fc.record({ [HEADER_BATCH]: name, [HEADER_PART]: part }),
  fc.record({ [HEADER_BATCH]: nonsense, [HEADER_PART]: part }),
  fc.record({ [HEADER_BATCH]: name }),
  fc.record({ [HEADER_PART]: part }),
);

const events = fc.array(event, { minLength: 1, maxLength: 3 }).map((all) => joined(all.map(encodeEvent)));
const content = fc.oneof(
  { weight: 12, arbitrary: events },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => new Uint8Array(bytes)) },
  { weight: 1, arbitrary: fc.tuple(event, fc.nat(), fc.nat(255)).map(damaged) },
);

const message = fc.record({
  data: fc.oneof({ weight: 3, arbitrary: content }, { weight: 1, arbitrary: content.map(compress) }),
  headers: fc.oneof({ weight: 5, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: headers }),
  /** Where the second node begins a helping. */
  cut: fc.boolean(),
});

function damaged([event, at, byte]: [Omit<ChangeEvent, "hash">, number, number]): Uint8Array {
  const bytes = encodeEvent(event);
  bytes[at % bytes.length] = byte;
  return bytes;
}

Deno.test("fuzz: whatever a stream holds is applied or put aside, alike on nodes that read it in different helpings", async () => {
  const check = fc.asyncProperty(fc.array(message, { minLength: 5, maxLength: 40 }), async (messages) => {
    await using one = await openLab();
    await using other = await openLab();
    const [first, second] = [toLog(one, messages), toLog(other, messages)];
    for (const each of first) await one.apply(each);
    for (const helping of helpings(second, messages.map(({ cut }) => cut))) await other.applyAll(helping);
    for (const lab of [one, other]) {
      assert.equal(lab.position.sequence, messages.length);
      assert.equal(lab.messages.counters.quarantined, lab.quarantined.length);
      assert.deepEqual(lab.lines("PRAGMA integrity_check"), ["'ok'"]);
    }
    assert.deepEqual(contentOf(one), contentOf(other));
    assert.deepEqual(one.quarantined, other.quarantined);
  });
  await fc.assert(check, { seed, numRuns: RUNS });
});

async function openLab(): Promise<CoreLab> {
  const lab = await CoreLab.open(SCHEMA);
  const entry = encodeEntry(LAB_NODE, lab.schema.current, { updatedAt: new Date(0), maxBytes: 1_000_000 });
  lab.cluster = new ClusterSchemas("1", [decodeEntry("5", entry)], undefined);
  return lab;
}

type Sent = Pick<LogMessage, "data"> & { readonly headers: Record<string, string> };

function toLog(lab: CoreLab, messages: readonly Sent[]): LogMessage[] {
  return messages.map(({ data, headers }, at) => lab.message(data, headers, LAB_TIME_NS + BigInt(at)));
}

function helpings(messages: readonly LogMessage[], cuts: readonly boolean[]): LogMessage[][] {
  const groups: LogMessage[][] = [];
  for (const [at, message] of messages.entries()) {
    if (at === 0 || cuts[at]) groups.push([]);
    groups.at(-1)!.push(message);
  }
  return groups;
}

/** Every table with its rows; of ours those that all nodes must agree on. */
function contentOf(lab: CoreLab): Record<string, string[]> {
  const tables = lab.all("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'sqlite_sequence'")
    .map(([name]) => String(name));
  const users = tables.filter((name) => !name.startsWith("__harmonylite__"));
  assert.deepEqual(users.toSorted(), TABLES.toSorted(), "no table came or went");
  const versions = tables.filter((name) => /^__harmonylite__.*(_row_version|_part)$/.test(name));
  return Object.fromEntries([...users, ...versions].map((name) => {
    const columns = lab.all(`SELECT quote(name) FROM pragma_table_info('${name.replaceAll("'", "''")}')`);
    const values = columns.map(([column]) => `quote("${String(column).slice(1, -1).replaceAll('"', '""')}")`);
    return [name, lab.lines(`SELECT ${values.join(", ")} FROM "${name.replaceAll('"', '""')}"`).sort()];
  }));
}
