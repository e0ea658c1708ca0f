/**
 * The conflict decision, over the real fold with a real database: however a stream is cut into messages and parts, and
 * whatever comes again, the same rows, versions and images are left. `HARMONYLITE_SEED` repeats a run.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import type { LogMessage } from "../../src/stream/replication_log.ts";
import { BatchWriter } from "../../src/wire/batch.ts";
import { decodeEvents, encodeEvent, EventShape } from "../../src/wire/codec.ts";
import type { SqlValue } from "../../src/wire/event.ts";
import { CoreLab, LAB_NODE, LAB_TIME_NS, type LabEvent } from "../support/core_lab.ts";

const RUNS = Number(Deno.env.get("HARMONYLITE_FUZZ_RUNS") ?? 60);
const PLAIN = "CREATE TABLE t (id INTEGER PRIMARY KEY, u, a)";
const UNIQUE = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, a)";

const seed = Number(Deno.env.get("HARMONYLITE_SEED") ?? Date.now() & 0x7fffffff);
console.log(`HARMONYLITE_SEED=${seed}`);

/** Few keys, clocks and nodes, so that all parts of a version get to decide; one of the nodes has our own id. */
const event: fc.Arbitrary<LabEvent> = fc.record({
  id: fc.bigInt({ min: 1n, max: 3n }),
  u: fc.constantFrom<SqlValue>(null, 1n, 2n, "x"),
  a: fc.constantFrom<SqlValue>(1n, 1.5, "text", null),
  ts: fc.bigInt({ min: 1n, max: 4n }),
  node: fc.constantFrom(LAB_NODE - 1n, LAB_NODE, LAB_NODE + 1n),
  type: fc.constantFrom("insert", "update", "delete"),
}).map(({ id, u, a, ts, node, type }) => ({
  table: "t",
  type,
  row: type === "delete" ? { id } : { id, u, a },
  ts: LAB_TIME_NS + ts,
  node,
}));
const stream = fc.array(event, { minLength: 1, maxLength: 20 });

/** What all nodes must have alike. */
function stateOf(lab: CoreLab): string[] {
  return [
    ...lab.lines("SELECT * FROM t ORDER BY id"),
    ...lab.lines(
      'SELECT val_id, ts, node, hash, deleted <> 0 FROM "__harmonylite__t_row_version" ORDER BY 1',
    ),
  ];
}

/** The state that messages leave, each a list of events. */
async function after(sql: string, messages: readonly (readonly LabEvent[])[]): Promise<string[]> {
  await using lab = await CoreLab.open(sql);
  for (const events of messages) await lab.receive(...events);
  assert.deepEqual(lab.quarantined, []);
  return stateOf(lab);
}

/** Cuts a list before the given places. */
function cutAt<T>(list: readonly T[], places: readonly number[]): T[][] {
  const ends = [...new Set(places.map((place) => place % list.length))].sort((a, b) => a - b);
  return [0, ...ends].map((start, at) => list.slice(start, ends[at] ?? list.length)).filter(({ length }) =>
    length > 0
  );
}

async function check<Values>(property: fc.IAsyncProperty<Values>): Promise<void> {
  await fc.assert(property, { seed, numRuns: RUNS });
}

for (const [kind, sql] of [["without", PLAIN], ["with", UNIQUE]] as const) {
  Deno.test(`conflicts ${kind} UNIQUE values: cuts into messages and what comes again make no difference`, async () => {
    const places = fc.array(fc.nat(), { maxLength: 6 });
    await check(fc.asyncProperty(stream, places, places, async (events, cuts, again) => {
      const messages = cutAt(events, cuts);
      // One comes again after any later one, as it does when an acknowledgement was lost.
      const repeated = [...messages];
      for (const place of again) {
        const at = place % repeated.length;
        repeated.splice(at + 1 + (place >> 4) % (repeated.length - at), 0, repeated[at]!);
      }
      const once = await after(sql, [events]);
      assert.deepEqual(await after(sql, messages), once);
      assert.deepEqual(await after(sql, repeated), once);
      assert.deepEqual(await after(sql, [...messages, ...messages]), once);
    }));
  });
}

Deno.test("conflicts without UNIQUE values: the highest version of each key stays, in whatever order they come", async () => {
  await check(fc.asyncProperty(stream, fc.infiniteStream(fc.nat()), async (events, random) => {
    const shuffled = events.map((each) => ({ each, at: random.next().value })).sort((a, b) => a.at - b.at);
    const state = await after(PLAIN, [events]);
    assert.deepEqual(await after(PLAIN, shuffled.map(({ each }) => [each])), state);
    assert.deepEqual(state.slice(-keysOf(events).length), expectedVersions(events));
  }));
});

Deno.test("conflicts: a batch in parts, which come in any order, is what one message with its events would be", async () => {
  const random = fc.infiniteStream(fc.nat());
  await check(
    fc.asyncProperty(stream, fc.integer({ min: 1, max: 3 }), random, async (events, maxBatch, order) => {
      const runs = events.map((_, at) => at).filter((at) => events[at]!.node !== events[at - 1]?.node);
      const batches = cutAt(events, runs);
      await using lab = await CoreLab.open(UNIQUE);
      for (const batch of batches) {
        const parts = partsOf(lab, batch, maxBatch).map((message) => ({ message, at: order.next().value }));
        for (const { message } of parts.sort((a, b) => a.at - b.at)) await lab.apply(message());
      }
      assert.deepEqual(stateOf(lab), await after(UNIQUE, batches));
    }),
  );
});

/** The events, which are of one node, as a batch of parts; each is numbered when it is asked for. */
function partsOf(lab: CoreLab, events: readonly LabEvent[], maxBatch: number): (() => LogMessage)[] {
  const writer = new BatchWriter(events[0]!.node!, { maxBatch, maxMessageBytes: 10_000, compress: false });
  for (const { type, row, ts } of events) {
    const columns = Object.keys(row).sort();
    const values = columns.map((column) => row[column]!);
    writer.add(new EventShape("t", columns, "another"), type, 1n, ts, values);
  }
  return writer.finish().parts.map((part) => () => lab.messageOfPart(part));
}

function keysOf(events: readonly LabEvent[]): bigint[] {
  return [...new Set(events.map(({ row }) => row["id"] as bigint))].sort();
}

/** By key: clock, node, content, in this order. */
function expectedVersions(events: readonly LabEvent[]): string[] {
  return keysOf(events).map((id) => {
    const versions = events.filter(({ row }) => row["id"] === id).map((each) => ({
      ...each,
      hash: hashOf(each),
    }));
    const winner = versions.reduce((a, b) =>
      b.ts > a.ts || (b.ts === a.ts && (b.node! > a.node! || (b.node === a.node && b.hash > a.hash))) ? b : a
    );
    return [id, winner.ts, winner.node, winner.hash, winner.type === "delete" ? 1 : 0].join("|");
  });
}

function hashOf({ table, type, row, ts, node }: LabEvent): number {
  const columns = Object.keys(row).sort();
  const values = columns.map((column) => row[column]!);
  const bytes = encodeEvent({ node: node!, id: 1n, type, table, columns, values, schemaHash: "another", ts });
  return decodeEvents(bytes)[0]!.hash;
}
