/**
 * The bytes that the Go original sent (`tests/golden`), held against what its statements do in a database of ours.
 */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { decodeEvents, encodeEvent } from "./codec.ts";
import { decompress, isCompressed } from "./compression.ts";
import type { ChangeEvent, ChangeType, SqlValue } from "./event.ts";
import { shardOf } from "./shard.ts";

const FOLDER = new URL("../../tests/golden/", import.meta.url);
const SHARDS = 4;
const NODE = 42n;
/** So many changes do the statements of `writes.sql` make. */
const EVENTS = 38;

const KEYS: Readonly<Record<string, readonly string[]>> = {
  kinds: ["id"],
  composite: ["a", "b"],
  nokey: ["rowid"],
  norowid: ["k"],
  blobkey: ["k"],
  realkey: ["k"],
  gen: ["id"],
};

/**
 * What the program made of columns declared as a date or BOOLEAN, by id of the row: the loss is in the bytes.
 * `ts` of 21 and 22 were the integers 1709210096 and 1709210096789, `bo` of 22 was 5.
 */
const LOST: ReadonlyMap<bigint, Record<string, SqlValue>> = new Map([
  [20n, { d: "2024-02-29 00:00:00", dt: "2024-02-29 12:34:56", ts: "2024-02-29 12:34:56" }],
  [21n, { d: "1969-12-31 00:00:00", dt: "1969-12-31 23:59:59", ts: "2024-02-29 12:34:56" }],
  [22n, { d: null, dt: "2024-02-29 10:34:56", ts: "2024-02-29 12:34:56", bo: 1n }],
]);

interface Message {
  readonly shard: number;
  readonly data: Uint8Array;
}

interface Change {
  readonly id: bigint;
  readonly type: ChangeType;
  readonly table: string;
  readonly row: Record<string, SqlValue>;
}

Deno.test("golden: every recorded change is decoded as it was written", () => {
  const expected = changesOfWrites();
  for (const name of ["wire-plain.jsonl", "wire-zstd.jsonl"]) {
    const events = messages(name).flatMap((message) => decodeEvents(decompress(message.data)));
    assert.equal(events.length, EVENTS);
    assert.equal(events.length, expected.size);
    for (const event of events) assertIsChange(event, expected.get(`${event.table} ${event.id}`));
  }
});

Deno.test("golden: every recorded change lies in the stream of its shard", () => {
  for (const name of ["wire-plain.jsonl", "wire-zstd.jsonl"]) {
    for (const { data, shard } of messages(name)) {
      for (const event of decodeEvents(decompress(data))) {
        const keys = KEYS[event.table] as readonly string[];
        const values = keys.map((key) => rowOf(event)[key] as SqlValue);
        assert.equal(shardOf(event.table, keys, values, SHARDS), shard, `${event.table} ${event.id}`);
      }
    }
  }
});

Deno.test("golden: one recording is compressed, the other is not, and both say so", () => {
  assert.ok(messages("wire-plain.jsonl").every(({ data }) => !isCompressed(data)));
  assert.ok(messages("wire-zstd.jsonl").every(({ data }) => isCompressed(data)));
});

Deno.test("golden: an event of the Go original keeps its hash when it is encoded by us", () => {
  for (const { data } of messages("wire-plain.jsonl")) {
    const [event] = decodeEvents(data) as [ChangeEvent];
    assert.deepEqual(decodeEvents(encodeEvent(event)), [event]);
  }
});

function assertIsChange(event: ChangeEvent, change: Change | undefined): void {
  assert.ok(change !== undefined, `no statement makes change ${event.id} of ${event.table}`);
  assert.equal(event.node, NODE);
  assert.equal(event.type, change.type);
  assert.equal(event.ts, undefined);
  const hasTime = event.table === "kinds" &&
    ["d", "dt", "ts"].some((column) => rowOf(event)[column] !== null);
  assert.equal(event.schemaHash?.length, hasTime ? undefined : 64);
  assert.deepEqual(rowOf(event), withoutRandomness(change, event), `${event.table} ${event.id}`);
}

/** `randomblob(0)` of row 4 is one random byte, in spite of its name. */
function withoutRandomness(change: Change, event: ChangeEvent): Record<string, SqlValue> {
  if (change.table !== "kinds" || change.row["id"] !== 4n) return change.row;
  const b = rowOf(event)["b"];
  assert.ok(b instanceof Uint8Array && b.length === 1);
  return { ...change.row, b };
}

function rowOf(event: ChangeEvent): Record<string, SqlValue> {
  return Object.fromEntries(event.columns.map((name, index) => [name, event.values[index] as SqlValue]));
}

function messages(name: string): Message[] {
  const lines = Deno.readTextFileSync(new URL(name, FOLDER)).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line)).flatMap(({ kind, stream, data }) => {
    const shard = kind === "message" ? /^harmonylite-changes-(?:c-)?(\d+)$/.exec(stream)?.[1] : undefined;
    return shard === undefined ? [] : [{ shard: Number(shard), data: Uint8Array.fromHex(data) }];
  });
}

/** Runs the statements and notes what the Go original's triggers noted, by table and change id. */
function changesOfWrites(): Map<string, Change> {
  using db = new DatabaseSync(":memory:");
  db.exec(Deno.readTextFileSync(new URL("schema.sql", FOLDER)));
  const changes = new Map<string, Change>();
  const lastIds = new Map<string, bigint>();
  for (const sql of Deno.readTextFileSync(new URL("writes.sql", FOLDER)).trimEnd().split("\n")) {
    for (const change of changesOf(db, sql)) {
      const id = (lastIds.get(change.table) ?? 0n) + 1n;
      lastIds.set(change.table, id);
      changes.set(`${change.table} ${id}`, { ...change, id });
    }
  }
  return changes;
}

/** A row that is new or differs after the statement was logged under its kind; one that is gone only after DELETE. */
function* changesOf(db: DatabaseSync, sql: string): Generator<Omit<Change, "id">> {
  const type = sql.startsWith("UPDATE") ? "update" : sql.startsWith("DELETE") ? "delete" : "insert";
  const table = Object.keys(KEYS).find((name) =>
    sql.match(/^(?:\w+ INTO|UPDATE|DELETE FROM) (\w+)/)?.[1] === name
  );
  assert.ok(table !== undefined, sql);
  const before = rowsOf(db, table);
  db.exec(sql);
  const after = rowsOf(db, table);
  const [from, to] = type === "delete" ? [before, after] : [after, before];
  for (const row of from) {
    const same = to.some((other) => Deno.inspect(other, INSPECT) === Deno.inspect(row, INSPECT));
    if (!same) {
      yield { type, table, row: { ...row, ...(table === "kinds" ? LOST.get(row["id"] as bigint) : {}) } };
    }
  }
}

const INSPECT = { strAbbreviateSize: 1e9, iterableLimit: 1e9 };

function rowsOf(db: DatabaseSync, table: string): Record<string, SqlValue>[] {
  const info = db.prepare("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0").all(table);
  const columns = info.map(({ name }) => `"${name}"`);
  const select = db.prepare(
    `SELECT ${table === "nokey" ? "rowid, " : ""}${columns.join(", ")} FROM "${table}"`,
  );
  select.setReadBigInts(true);
  return select.all().map((row) => ({ ...row })) as Record<string, SqlValue>[];
}
