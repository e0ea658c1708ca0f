import assert from "node:assert/strict";
import { Decoder, Encoder } from "cbor-x";
import { WireError } from "../lib/errors.ts";
import { CborWriter } from "./cbor.ts";
import {
  decodeEvents,
  encodeEvent,
  EventDecoder,
  EventShape,
  MAX_TIMESTAMP_NS,
  writeEvent,
} from "./codec.ts";
import { type ChangeEvent, type ChangeType, RawText, type SqlValue } from "./event.ts";

const SCHEMA_HASH = "9a2c5c63738c987e9f12aa14ad60a07b9e25f7c6155def50da858f35c1235b61";
const TS = 1_763_718_000_123_456_789n;

/** cbor-x as other programs would write maps: without its own records and tags. */
const PLAIN = { useRecords: false, useTag259ForMaps: false };

const EVENT: Omit<ChangeEvent, "hash"> = {
  node: 42n,
  id: 7n,
  type: "insert",
  table: "users",
  columns: ["age", "blob", "id", "name", "raw", "score"],
  values: [null, new Uint8Array([1]), -3n, "Üna", new RawText(new Uint8Array([0xff])), 1.0],
  schemaHash: SCHEMA_HASH,
  ts: TS,
};

Deno.test("codec: an event comes back as it was", () => {
  const { hash, ...back } = decodeOne(encodeEvent(EVENT));
  assert.deepEqual(back, EVENT);
  assert.ok(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 52);
});

Deno.test("codec: an event has the keys of the Go original in a fixed order", () => {
  const bytes = encodeEvent({ ...EVENT, columns: ["b", "a"], values: [1n, 1.0] });
  const event = new Decoder({ mapsAsObjects: false }).decode(bytes);
  const payload = event.get("Payload");
  assert.deepEqual([...event.keys()], ["FromNodeId", "Payload"]);
  assert.deepEqual([...payload.keys()], ["Id", "Type", "TableName", "Row", "sh", "ts"]);
  assert.deepEqual([...payload.get("Row")], [["a", 1], ["b", 1]]);
  assert.equal(bytes[0], 0xa2);
});

Deno.test("codec: schema hash and time are left out when there is none", () => {
  const { schemaHash: _, ts: __, ...rest } = EVENT;
  const bytes = encodeEvent({ ...rest, schemaHash: undefined, ts: undefined });
  const payload = new Decoder({ mapsAsObjects: false }).decode(bytes).get("Payload");
  assert.deepEqual([...payload.keys()], ["Id", "Type", "TableName", "Row"]);
  assert.equal(decodeOne(bytes).ts, undefined);
  assert.equal(decodeOne(bytes).schemaHash, undefined);
});

Deno.test("codec: extreme nodes, ids and times come back", () => {
  for (const node of [1n, 24n, (1n << 63n) - 1n]) {
    for (const id of [-(1n << 63n), -1n, 0n, (1n << 63n) - 1n]) {
      for (const ts of [1n, MAX_TIMESTAMP_NS]) {
        const back = decodeOne(encodeEvent({ ...EVENT, node, id, ts }));
        assert.deepEqual([back.node, back.id, back.ts], [node, id, ts]);
      }
    }
  }
});

Deno.test("codec: columns with names that JavaScript objects choke on", () => {
  const columns = ["", "0", "10", "9", "__proto__", "constructor", "ß", "😀"];
  const back = decodeOne(encodeEvent({ ...EVENT, columns, values: columns }));
  assert.deepEqual(back.columns, columns);
  assert.deepEqual(back.values, columns);
});

Deno.test("codec: consecutive events with the same columns share one array, whatever lies between", () => {
  const writer = new CborWriter();
  const users = new EventShape("users", ["name", "id"], SCHEMA_HASH);
  const orders = new EventShape("orders", ["id", "total"], undefined);
  for (let id = 0n; id < 6n; id++) {
    writeEvent(writer, id % 2n === 0n ? users : orders, 1n, "insert", id, TS + id, [id, "x"]);
  }
  const events = decodeEvents(writer.copy());
  assert.deepEqual(events.map((event) => event.table), [
    "users",
    "orders",
    "users",
    "orders",
    "users",
    "orders",
  ]);
  assert.equal(events[0]?.columns, events[2]?.columns);
  assert.equal(events[1]?.columns, events[5]?.columns);
  assert.deepEqual(events[5]?.columns, ["id", "total"]);
  assert.deepEqual(events[5]?.values, [5n, "x"]);
  assert.equal(decodeEvents(writer.copy())[0]?.columns, events[0]?.columns, "and from message to message");
});

Deno.test("codec: rows change their columns in the middle of a table", () => {
  const writer = new CborWriter();
  const sets = [["a", "b"], ["a", "c"], ["a"], ["a", "b", "c"], ["a", "b"]];
  for (const columns of sets) {
    writeEvent(writer, new EventShape("t", columns, undefined), 1n, "update", 1n, TS, columns);
  }
  const events = decodeEvents(writer.copy());
  assert.deepEqual(events.map((event) => event.columns), sets);
  assert.deepEqual(events.map((event) => event.values), sets);
});

Deno.test("codec: sender and receiver compute one hash", () => {
  const writer = new CborWriter();
  const shape = new EventShape(EVENT.table, EVENT.columns, EVENT.schemaHash);
  const types: ChangeType[] = ["insert", "update", "delete"];
  const sent = types.map((type) => writeEvent(writer, shape, 1n, type, 1n, TS, EVENT.values));
  assert.deepEqual(decodeEvents(writer.copy()).map((event) => event.hash), sent);
  assert.equal(sent[0], sent[1], "insert and update leave the same row");
  assert.notEqual(sent[0], sent[2]);
});

Deno.test("codec: the hash depends on table, kind, columns, types and values, and on nothing else", () => {
  const one: Omit<ChangeEvent, "hash"> = { ...EVENT, columns: ["a"], values: [1n] };
  const others: Partial<ChangeEvent>[] = [
    { type: "delete" },
    { table: "user" },
    { columns: ["b"] },
    { values: [1.0] },
    { values: ["1"] },
    { values: [new RawText(new Uint8Array([0x31]))] },
    { values: [new Uint8Array([0x31])] },
    { values: [null] },
    { values: [-1n] },
    { columns: ["a", "b"], values: [1n, null] },
  ];
  const hashes = others.map((other) => hashOf({ ...one, ...other }));
  assert.equal(new Set([hashOf(one), ...hashes]).size, others.length + 1);
  assert.equal(
    hashOf({ ...one, node: 1n, id: 8n, ts: 5n, schemaHash: undefined, type: "update" }),
    hashOf(one),
  );
});

Deno.test("codec: an event in the order and the forms of another encoder has the hash of ours", () => {
  const row = new Map<string, unknown>([["name", "x"], ["id", 5], ["on", true]]);
  const payload = { Row: row, later: 1.5, sh: "h", ts: TS, TableName: "t", Type: "update", Id: 3 };
  const bytes = new Encoder(PLAIN).encode({ Payload: payload, extra: [null, "x"], FromNodeId: 9 });
  const event = decodeOne(bytes);
  const ours = { node: 9n, id: 3n, type: "update", table: "t", schemaHash: "h", ts: TS } as const;
  const columns = ["id", "name", "on"];
  const expected = decodeOne(encodeEvent({ ...ours, columns, values: [5n, "x", 1n] }));
  assert.deepEqual(event, expected);
});

Deno.test("codec: what is not an event is a WireError", () => {
  const good = { FromNodeId: 1, Payload: { Id: 1, Type: "insert", TableName: "t", Row: { a: 1 }, ts: 5 } };
  const payload = (change: object): unknown => ({ ...good, Payload: { ...good.Payload, ...change } });
  const cases: Record<string, unknown> = {
    "not a map": 1,
    "an empty map": {},
    "no node": { Payload: good.Payload },
    "node 0": { ...good, FromNodeId: 0 },
    "a negative node": { ...good, FromNodeId: -1 },
    "a node beyond 2^63": { ...good, FromNodeId: 1n << 63n },
    "a node as text": { ...good, FromNodeId: "1" },
    "a payload that is no map": { ...good, Payload: [1] },
    "no id": { ...good, Payload: { Type: "insert", TableName: "t", Row: { a: 1 } } },
    "an id beyond 2^63": payload({ Id: 1n << 63n }),
    "an unknown type": payload({ Type: "upsert" }),
    "a table name that is no text": payload({ TableName: 1 }),
    "a row that is no map": payload({ Row: [] }),
    "a row without columns": payload({ Row: {} }),
    "a value that is a map": payload({ Row: { a: {} } }),
    "a column that is no text": payload({ Row: new Map([[1, 1]]) }),
    "ts 0": payload({ ts: 0 }),
    "a negative ts": payload({ ts: -5 }),
    "a ts beyond the year 2200": payload({ ts: MAX_TIMESTAMP_NS + 1n }),
    "a ts as float": payload({ ts: 1.5 }),
    "an endless schema hash": payload({ sh: "x".repeat(1000) }),
  };
  const encoder = new Encoder(PLAIN);
  assert.equal(decodeEvents(encoder.encode(good)).length, 1);
  for (const [what, value] of Object.entries(cases)) {
    assert.throws(() => decodeEvents(encoder.encode(value)), WireError, what);
  }
});

Deno.test("codec: a key that comes twice is a WireError", () => {
  const start = encodeEvent({ ...EVENT, columns: ["a", "b"], values: [1n, 2n] }).toHex();
  const hex = (text: string): string => new TextEncoder().encode(text).toHex();
  const cases = {
    "a column": start.replace("6162" + "02", "6161" + "02"),
    "a key of the payload": start.replace(`62${hex("sh")}`, `62${hex("ts")}`),
    "a key of the event": start.replace(`67${hex("Payload")}`, `6a${hex("FromNodeId")}`),
    "an unknown key": "a4" + start.slice(2) + "6178" + "01" + "6178" + "02",
  };
  for (const [what, bytes] of Object.entries(cases)) {
    assert.notEqual(bytes, start);
    assert.throws(() => decodeEvents(Uint8Array.fromHex(bytes)), WireError, what);
  }
});

Deno.test("codec: nothing, half an event, and more than an event are WireErrors", () => {
  const bytes = encodeEvent(EVENT);
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeEvents(bytes.subarray(0, length)), WireError);
  }
  assert.throws(() => decodeEvents(new Uint8Array([...bytes, 0])), WireError);
});

Deno.test("codec: whole events at the start of a piece are decoded, and the need of the rest is known", () => {
  const bytes = encodeEvent(EVENT);
  const decoder = new EventDecoder();
  for (let length = 0; length <= bytes.length * 2; length++) {
    const decoding = decoder.decodePrefix(new Uint8Array([...bytes, ...bytes]).subarray(0, length));
    const whole = Math.floor(length / bytes.length);
    let step = decoding.next();
    let events = 0;
    for (; !step.done; step = decoding.next()) events += step.value.length;
    const prefix = step.value;
    assert.equal(events, whole);
    assert.equal(prefix.consumed, whole * bytes.length);
    if (prefix.consumed === length) assert.equal(prefix.needed, 0);
    else assert.ok(prefix.needed > length && prefix.needed <= (whole + 1) * bytes.length);
  }
});

Deno.test("codec: a shape refuses what cannot be a row", () => {
  assert.throws(() => new EventShape("t", [], undefined), RangeError);
  assert.throws(() => new EventShape("t", ["a", "a"], undefined), RangeError);
  const shape = new EventShape("t", ["a", "b"], undefined);
  assert.throws(() => writeEvent(new CborWriter(), shape, 1n, "insert", 1n, 1n, [1n]), RangeError);
});

Deno.test("codec: a decoder that has met more names than it remembers still decodes", () => {
  const decoder = new EventDecoder();
  for (let round = 0; round < 600; round++) {
    const values: SqlValue[] = [BigInt(round)];
    const event = { ...EVENT, table: `table ${round}`, columns: [`column ${round}`], values };
    assert.deepEqual(decoder.decode(encodeEvent(event))[0]?.values, values);
  }
});

function decodeOne(bytes: Uint8Array): ChangeEvent {
  const events = decodeEvents(bytes);
  assert.equal(events.length, 1);
  return events[0] as ChangeEvent;
}

function hashOf(event: Omit<ChangeEvent, "hash">): number {
  return decodeOne(encodeEvent(event)).hash;
}
