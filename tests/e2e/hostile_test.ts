import assert from "node:assert/strict";
import fc from "fast-check";
import { compress } from "../../src/wire/compression.ts";
import { encodeEvent, MAX_TIMESTAMP_NS } from "../../src/wire/codec.ts";
import type { ChangeType, SqlValue } from "../../src/wire/event.ts";
import { type ClusterNode, startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { type StrangeMessage, Stranger } from "../support/stranger.ts";

const SCHEMA = `
  CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
  CREATE TABLE pairs (a INTEGER, b TEXT, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
  CREATE TABLE strict_one (id INT PRIMARY KEY NOT NULL, n INT) STRICT;
`;
const REGISTRY = "harmonylite-schema-registry";
const QUARANTINED = "SELECT count(*) FROM __harmonylite___quarantine";
const DAY_NS = 86_400_000_000_000n;
/** Beyond any in the application's rows. */
const FIRST_STRANGE_ID = 900_000n;

const seed = Number(Deno.env.get("HARMONYLITE_SEED") ?? Date.now() & 0x7fffffff);
console.log(`HARMONYLITE_SEED=${seed}`);

type Row = Record<string, SqlValue>;

interface Change {
  readonly table?: string;
  readonly type?: ChangeType;
  readonly node?: bigint;
  readonly ts?: bigint;
  readonly row: Row;
}

const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

function change({ table = "notes", type = "insert", node = 77n, ts = nowNs(), row }: Change): Uint8Array {
  const columns = Object.keys(row).sort();
  const values = columns.map((column) => row[column]!);
  return encodeEvent({ node, id: 1n, type, table, columns, values, ts, schemaHash: "x".repeat(64) });
}

const bytes = (...parts: (string | number | Uint8Array)[]): Uint8Array =>
  new Uint8Array(
    parts.flatMap((part) =>
      typeof part === "number"
        ? [part]
        : typeof part === "string"
        ? [...new TextEncoder().encode(part)]
        : [...part]
    ),
  );

/** A CBOR text of less than 24 bytes, with its head. */
const text = (value: string): Uint8Array => bytes(0x60 + value.length, value);

/** An event made by hand: `row` and what stands in front of it are any bytes. */
function rawEvent(node: Uint8Array, row: Uint8Array, ts = bytes(1)): Uint8Array {
  const payload = bytes(text("Id"), 1, text("Type"), text("insert"), text("TableName"), text("notes"));
  return bytes(
    0xa2,
    text("FromNodeId"),
    node,
    text("Payload"),
    0xa5,
    payload,
    text("Row"),
    row,
    text("ts"),
    ts,
  );
}

const NODE = bytes(0x18, 77);
const ROW = bytes(0xa2, text("id"), 1, text("text"), text("x"));
const int64 = (hex: string): Uint8Array => Uint8Array.fromHex(hex);

/** A frame that claims little and unpacks to 70 MB of zeros: blocks of one byte, repeated. */
function bomb(): Uint8Array {
  const blocks = Array.from({ length: 560 }, (_, at) => {
    const head = 131_072 << 3 | 1 << 1 | (at === 559 ? 1 : 0);
    return bytes(head & 255, head >> 8 & 255, head >> 16 & 255, 0);
  });
  return bytes(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, ...blocks);
}

/** What a stranger sends, and what is said of it where it is put aside. */
const HOSTILE: readonly [string, StrangeMessage | (() => StrangeMessage), RegExp][] = [
  ["nothing", { data: bytes() }, /no event/],
  ["text", { data: bytes("hello") }, /event expected/],
  ["a truncated event", { data: change({ row: { id: 1n, text: "x" } }).subarray(0, -3) }, /Cannot decode/],
  ["a truncated frame", { data: compress(new Uint8Array(2_000)).subarray(0, -2) }, /Cannot decompress/],
  [
    "a frame with a tail",
    { data: bytes(compress(new Uint8Array(2_000)), 1) },
    /does not end with the message/,
  ],
  ["a frame of noise", { data: bytes(0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 0x11, 0, 0, "noise") }, /Cannot de/],
  ["a zstd bomb", { data: bomb() }, /Cannot decompress/],
  ["a map of 2^64 - 1 pairs", { data: bytes(0xbb, int64("ff".repeat(8))) }, /Cannot decode/],
  [
    "deep nesting",
    { data: rawEvent(NODE, bytes(0xa1, text("id"), new Uint8Array(50_000).fill(0x81))) },
    /Cannot decode/,
  ],
  ["nesting in an unknown key", () => {
    return { data: bytes(0xa3, text("x"), new Uint8Array(100_000).fill(0x81), 1) };
  }, /Cannot decode/],
  ["a tag", { data: rawEvent(NODE, bytes(0xa1, text("id"), 0xc2, 0x41, 1)) }, /Cannot decode/],
  ["a row without columns", { data: rawEvent(NODE, bytes(0xa0)) }, /row of 0 columns/],
  ["a column twice", { data: rawEvent(NODE, bytes(0xa2, text("id"), 1, text("id"), 2)) }, /twice/],
  ["an array for a row", { data: rawEvent(NODE, bytes(0x81, 1)) }, /row expected/],
  ["a node below 1", { data: rawEvent(bytes(0), ROW) }, /without node/],
  ["a negative node", { data: rawEvent(bytes(0x20), ROW) }, /without node/],
  ["a node that is text", { data: rawEvent(text("77"), ROW) }, /node/],
  [
    "a node beyond 2^63",
    { data: rawEvent(bytes(0x1b, int64("ff".repeat(8))), ROW) },
    /integer beyond 64 bits/,
  ],
  ["a clock of 0", { data: rawEvent(NODE, ROW, bytes(0)) }, /not a time that a clock could show/],
  ["a clock beyond the year 2200", {
    data: rawEvent(NODE, ROW, bytes(0x1b, int64((MAX_TIMESTAMP_NS + 1n).toString(16)))),
  }, /not a time that a clock could show/],
  [
    "a table that nobody has",
    { data: change({ table: "nowhere", row: { id: 1n } }) },
    /no node .* ever had it/,
  ],
  [
    "SQL for a table",
    { data: change({ table: 'notes"; DROP TABLE notes; --', row: { id: 1n } }) },
    /ever had it/,
  ],
  [
    "a table of SQLite's",
    { data: change({ table: "sqlite_schema", row: { name: "notes" } }) },
    /ever had it/,
  ],
  [
    "a table of ours",
    { data: change({ table: "__harmonylite___clock", row: { id: 1n, ts: 1n } }) },
    /not a user's/,
  ],
  [
    "our tables in capitals",
    { data: change({ table: "__HARMONYLITE___position", row: { stream: "x" } }) },
    /not a user's/,
  ],
  [
    "a column that nobody has",
    { data: change({ row: { id: 1n, text: "x", zzz: 1n } }) },
    /column "zzz".* ever had it/,
  ],
  ["SQL for a column", { data: change({ row: { id: 1n, [`text" = 'x'; --`]: "x" } }) }, /ever had it/],
  ["no key", { data: change({ row: { text: "x" } }) }, /without the key column "id"/],
  [
    "half a key",
    { data: change({ table: "pairs", type: "delete", row: { a: 1n } }) },
    /without the key column "b"/,
  ],
  ["NULL for a key", { data: change({ row: { id: null, text: "x" } }) }, /key is NULL/],
  ["text for an integer key", { data: change({ row: { id: "1", text: "x" } }) }, /key is of another type/],
  ["letters for an integer key", { data: change({ row: { id: "one", text: "x" } }) }, /datatype mismatch/],
  ["NULL where none may be", { data: change({ row: { id: FIRST_STRANGE_ID, text: null } }) }, /NOT NULL/],
  [
    "text in a STRICT table",
    { data: change({ table: "strict_one", row: { id: 1n, n: "x" } }) },
    /cannot store TEXT/,
  ],
  ["a good change beside a bad one", {
    data: bytes(change({ row: { id: FIRST_STRANGE_ID, text: "x" } }), change({ row: { text: "x" } })),
  }, /without the key/],
  [
    "half the headers of a part",
    { data: bytes(), headers: { batch: "7-1-9-2-0123456789abcdef" } },
    /half of/,
  ],
  ["the other half", { data: bytes(), headers: { part: "1/2" } }, /half of/],
  ["a batch without a form", { data: bytes(), headers: { batch: "x", part: "1/2" } }, /unknown form/],
  ["a huge header", { data: bytes(), headers: { batch: "9".repeat(60_000), part: "1/2" } }, /unknown form/],
  [
    "too many parts",
    { data: bytes(), headers: { batch: "7-1-9-100001-0123456789abcdef", part: "1/100001" } },
    /out of range/,
  ],
  [
    "part 3 of 2",
    { data: bytes(), headers: { batch: "7-1-9-2-0123456789abcdef", part: "3/2" } },
    /Cannot read part number/,
  ],
  [
    "another number of parts",
    { data: bytes(), headers: { batch: "7-1-9-2-0123456789abcdef", part: "1/3" } },
    /Cannot read message/,
  ],
];

/** What is strange, but means something. */
function accepted(): StrangeMessage[] {
  return [
    // Without a message id, with headers of others, with a key that nobody knows.
    {
      data: change({ row: { id: FIRST_STRANGE_ID + 1n, text: "kept" } }),
      headers: { stranger: "yes", Batches: "1" },
    },
    // A delete that carries more than its key.
    { data: change({ row: { id: FIRST_STRANGE_ID + 2n, text: "goes" } }) },
    { data: change({ type: "delete", row: { id: FIRST_STRANGE_ID + 2n, text: "goes" } }) },
    // Parts that never become whole.
    { data: bytes("x"), headers: { batch: "7-1-9-2-aaaaaaaaaaaaaaaa", part: "1/2" } },
    { data: bytes("x"), headers: { batch: "7-1-9-100000-bbbbbbbbbbbbbbbb", part: "100000/100000" } },
    {
      data: change({
        ts: nowNs() + 3_650n * DAY_NS,
        row: { id: FIRST_STRANGE_ID + 3n, text: "ten years on" },
      }),
    },
  ];
}

/** Writes as an application that knows of nothing, until told to stop; returns how many rows. */
async function keepWriting(node: ClusterNode, firstId: number, isDone: () => boolean): Promise<number> {
  let count = 0;
  for (; !isDone(); count++) {
    const id = firstId + count;
    await node.sql(`INSERT INTO notes VALUES (${id}, 'a'); INSERT INTO pairs VALUES (${id}, 'b', ${id}.5);`);
  }
  return count;
}

Deno.test("whatever strangers send, each node goes on, keeps it in quarantine with a reason, and loses no row", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  await using stranger = await Stranger.connect(cluster);
  const pids = cluster.nodes.map(({ process }) => process.pid);
  let done = false;
  const writing = cluster.nodes.map((node, at) => keepWriting(node, 100_000 * (at + 1), () => done));
  const noise = makeNoise();
  await stranger.publish(HOSTILE.map(([, message]) => typeof message === "function" ? message() : message));
  await stranger.publish(noise);
  await stranger.publish(accepted());
  const expected = HOSTILE.length + noise.length;
  await eventually("all of it is in quarantine", () => {
    for (const node of cluster.nodes) assert.equal(node.count(QUARANTINED), expected);
  }, { timeoutMs: 30_000 });
  done = true;
  const written = (await Promise.all(writing)).reduce((sum, count) => sum + count);
  await cluster.converge();
  for (const [at, node] of cluster.nodes.entries()) {
    assert.equal(node.process.pid, pids[at], "it was not started again");
    const reasons = node.read("SELECT reason FROM __harmonylite___quarantine ORDER BY sequence").flat().map(
      String,
    );
    const others = HOSTILE.flatMap(([name, , reason], index) =>
      reason.test(reasons[index]!) ? [] : [`${name}: ${reasons[index]}`]
    );
    assert.deepEqual(others, []);
    assert.equal(node.count("SELECT count(*) FROM notes WHERE id < 900000"), written);
    assert.equal(node.count("SELECT count(*) FROM pairs"), written);
    assert.deepEqual(node.read("SELECT id, text FROM notes WHERE id >= 900000 ORDER BY id"), [
      [FIRST_STRANGE_ID + 1n, "kept"],
      [FIRST_STRANGE_ID + 3n, "ten years on"],
    ]);
    assert.equal(node.count("SELECT count(*) FROM __harmonylite___part"), 2);
    assert.deepEqual(node.read("PRAGMA integrity_check").flat(), ["ok"]);
    await node.process.waitForLog(/clock is far ahead.*77/);
    assert.equal(node.process.log.has(/clock is far ahead.*node=?"?[12]\b/), false, "and no follower's");
  }
  // A write made after seeing the clock of ten years ahead beats it.
  await cluster.node(2).sql(`UPDATE notes SET text = 'and back' WHERE id = ${FIRST_STRANGE_ID + 3n};`);
  await cluster.converge();
  assert.equal(
    cluster.node(1).read(`SELECT text FROM notes WHERE id = ${FIRST_STRANGE_ID + 3n}`)[0]![0],
    "and back",
  );
});

/** Random bytes, and changes with some bytes changed that no longer can be read. */
function makeNoise(): StrangeMessage[] {
  const whole = change({ table: "nowhere", row: { id: 1n, a: "x", b: 1.5, c: null } });
  const damaged = fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, byte]) => {
    const copy = new Uint8Array(whole);
    copy[at] = byte;
    return copy;
  });
  const any = fc.oneof(fc.uint8Array({ maxLength: 300 }).map((content) => new Uint8Array(content)), damaged);
  return fc.sample(any, { seed, numRuns: 300 }).map((data) => ({ data }));
}

Deno.test("a node says in the registry what it has, and who is ahead is waited for also while it is away", async () => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    settings: { replication_log: { shards: 2 } },
  });
  await using stranger = await Stranger.connect(cluster);
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql("ALTER TABLE notes ADD COLUMN stars INTEGER;");
  const capturing = "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND sql LIKE '%val_stars%'";
  await eventually("the column is captured", () => first.count(capturing) === 1);
  await first.sql("INSERT INTO notes VALUES (1, 'a', 5); UPDATE notes SET stars = 6;");
  await second.process.waitForLog(/schema_mismatch_paused.*which node 1 has/);
  await first.kill();
  const entry = JSON.parse(await stranger.get(REGISTRY, "node-1"));
  assert.deepEqual(entry.tables.notes, { columns: ["id", "stars", "text"], key: ["id"] });
  assert.equal(entry.node_id, 1);
  // One of the shards waits for node 1; in the other a mistake is told from that.
  const mistake = { data: change({ row: { id: 2n, text: "x", zzz: 1n } }) };
  await stranger.publish([mistake], 1);
  await stranger.publish([mistake], 2);
  await eventually("one is in quarantine", () => second.count(QUARANTINED) === 1);
  assert.equal(second.count("SELECT count(*) FROM notes"), 0);
  await second.sql("ALTER TABLE notes ADD COLUMN stars INTEGER;");
  await first.start();
  await cluster.converge();
  assert.deepEqual(second.read("SELECT id, stars FROM notes"), [[1n, 6n]]);
  assert.equal(second.count(QUARANTINED), 2);
});

Deno.test("a table and a column that a migration makes for a moment stop nobody", async () => {
  await using cluster = await startCluster(2, { schema: SCHEMA });
  const [first, second] = [cluster.node(1), cluster.node(2)];
  await first.sql(
    "CREATE TABLE new_notes (id INTEGER PRIMARY KEY, text); ALTER TABLE notes ADD COLUMN mark;",
  );
  await first.process.waitForLog(/Triggers installed.*new_notes/);
  await first.sql("INSERT INTO new_notes VALUES (1, 'x'); INSERT INTO notes VALUES (1, 'a', 'm');");
  await second.process.waitForLog("schema_mismatch_paused");
  await first.sql(
    "DROP TABLE new_notes; ALTER TABLE notes DROP COLUMN mark; INSERT INTO notes VALUES (2, 'b');",
  );
  await cluster.converge();
  assert.deepEqual(second.read("SELECT id, text FROM notes"), [[1n, "a"], [2n, "b"]]);
  assert.equal(second.count(QUARANTINED), 0);
  for (const what of ["that table", 'the column "mark"']) {
    await second.process.waitForLog(new RegExp(`Left out.*${what.replaceAll('"', '.?"')}`));
  }
});
