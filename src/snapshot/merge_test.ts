import assert from "node:assert/strict";
import { CoreLab, LAB_NODE, LAB_TIME_NS, type LabEvent } from "../../tests/support/core_lab.ts";
import { markPublished } from "../publish/acknowledgement.ts";
import type { ShardBatch } from "../publish/round.ts";
import type { SqlValue } from "../wire/event.ts";
import type { Position } from "../apply/position.ts";
import { Merge } from "./merge.ts";
import { SnapshotFile } from "./snapshot_file.ts";

const T = LAB_TIME_NS;
const HOUR_MS = 3_600_000;
const HOUR_NS = BigInt(HOUR_MS) * 1_000_000n;
const SCHEMA = `
  CREATE TABLE t (id INTEGER PRIMARY KEY, a);
  CREATE TABLE uniq (id INTEGER PRIMARY KEY, u UNIQUE);
  CREATE TABLE folded (k TEXT PRIMARY KEY COLLATE NOCASE, a);
  CREATE TABLE holes (k TEXT PRIMARY KEY, a);`;
const TABLES = ["t", "uniq", "folded", "holes"];
const FILTER = { include: [], exclude: [] };

/** A node that takes snapshots, and one that has read less of the stream. */
class Pair implements AsyncDisposable {
  constructor(readonly taker: CoreLab, readonly node: CoreLab) {}

  static async open(rows = "", options: { versionRetentionMs?: number } = {}): Promise<Pair> {
    const sql = `${SCHEMA} ${rows}`;
    return new Pair(await CoreLab.open(sql, options), await CoreLab.open(sql, options));
  }

  /** A message that both read. */
  async both(...events: LabEvent[]): Promise<void> {
    const message = this.taker.messageOf(events);
    await this.taker.apply(message);
    await this.node.apply(message);
  }

  /** `to`: where to go; undefined: to where the snapshot stands. */
  async merge(maxTransactionRows = 100_000, to?: Position): Promise<number> {
    const { taker, node } = this;
    const path = `${node.path}-snapshot`;
    taker.run("PRAGMA wal_checkpoint(TRUNCATE)");
    await Deno.copyFile(taker.path, path);
    const { signal } = new AbortController();
    using snapshot = await SnapshotFile.open(path, FILTER, signal);
    const rows = await Merge.run(snapshot, to ? [to] : snapshot.positions, {
      database: node.database,
      comparer: node.reader,
      schema: node.schema,
      messages: node.messages,
      node: LAB_NODE,
      shards: 1,
      maxTransactionRows,
      versionRetentionMs: HOUR_MS,
      signal,
    });
    node.position = to ?? { ...taker.position };
    return rows;
  }

  /** Rows and versions are the same on both. */
  assertSame(): void {
    for (const table of TABLES) {
      for (
        const sql of [`SELECT rowid, * FROM ${table}`, `SELECT * FROM "__harmonylite__${table}_row_version"`]
      ) {
        assert.deepEqual(this.node.lines(sql).sort(), this.taker.lines(sql).sort(), sql);
      }
    }
    const positions = `SELECT * FROM "__harmonylite___position"`;
    assert.deepEqual(this.node.lines(positions), this.taker.lines(positions));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.taker[Symbol.asyncDispose]();
    await this.node[Symbol.asyncDispose]();
  }
}

function put(table: string, ts: bigint, row: Record<string, SqlValue>): LabEvent {
  return { table, type: "insert", row, ts };
}

function remove(table: string, ts: bigint, row: Record<string, SqlValue>): LabEvent {
  return { table, type: "delete", row, ts };
}

Deno.test("merge: a node that is behind has rows, versions and positions as if it had read all messages", async () => {
  await using pair = await Pair.open("INSERT INTO t VALUES (1, 'first')");
  await pair.both(put("t", T + 1n, { id: 2n, a: 1n }), put("t", T + 2n, { id: 3n, a: 1n }));
  await pair.both(put("uniq", T + 3n, { id: 1n, u: "a" }), put("uniq", T + 4n, { id: 2n, u: "b" }));
  await pair.taker.receive(
    put("t", T + 11n, { id: 2n, a: 2.5 }),
    remove("t", T + 12n, { id: 3n }),
    remove("t", T + 13n, { id: 1n }),
    put("t", T + 14n, { id: 4n, a: new Uint8Array([0]) }),
    put("folded", T + 15n, { k: "A", a: 1n }),
    put("holes", T + 16n, { k: null, rowid: 7n, a: 1n }),
    // The values change places.
    put("uniq", T + 17n, { id: 1n, u: "b" }),
    put("uniq", T + 18n, { id: 2n, u: "a" }),
  );
  await pair.merge();
  pair.assertSame();
  const pending = `SELECT * FROM "__harmonylite___global_change_log"`;
  assert.deepEqual(pair.node.lines(pending), [], "nothing of it is captured");
  assert.equal(await pair.merge(), 0, "then nothing differs any more");
  pair.node.run("INSERT INTO t VALUES (9, 'next')");
  const [ts] = pair.node.all(`SELECT max(ts) FROM "__harmonylite__t_change_log"`)[0]!;
  assert.ok(ts as bigint > T + 18n, "what is written next lies above all that was seen");
});

Deno.test("merge: of a stream that was created anew since, only rows that no stream has told are taken over", async () => {
  await using taker = await CoreLab.open(`${SCHEMA} INSERT INTO t VALUES (1, 'first')`);
  await using node = await CoreLab.open(SCHEMA);
  const pair = new Pair(taker, node);
  await taker.receive(put("t", T + 1n, { id: 2n, a: 1n }), put("uniq", T + 3n, { id: 1n, u: "a" }));
  await pair.merge(undefined, { stream: "lab-1", shard: 1, created: "now", sequence: 0, time: 0n });
  assert.deepEqual(node.lines("SELECT * FROM t"), ["1|'first'"]);
  // From a node that had read less of the lost stream; then the other one sends what it knows.
  const late = put("uniq", T + 2n, { id: 2n, u: "a" });
  await node.receive(late);
  await node.receive(put("t", T + 1n, { id: 2n, a: 1n }), put("uniq", T + 3n, { id: 1n, u: "a" }));
  assert.deepEqual(node.lines("SELECT * FROM t"), ["1|'first'", "2|1"]);
  assert.deepEqual(node.lines("SELECT * FROM uniq"), ["1|'a'"]);
});

Deno.test("merge: more rows than a transaction may hold come in several, and the position with the last", async () => {
  await using pair = await Pair.open();
  const rows = Array.from({ length: 2_500 }, (_, id) => put("t", T + BigInt(id), { id: BigInt(id), a: "x" }));
  await pair.taker.receive(...rows);
  assert.ok(await pair.merge(700) >= 2_500);
  pair.assertSame();
});

Deno.test("merge: newer own changes stay and remain pending, those that were folded in are done with", async () => {
  await using pair = await Pair.open("INSERT INTO t VALUES (1, 'x'), (2, 'x'), (3, 'x')");
  const { node, taker } = pair;
  node.runAt(T + 10n, "UPDATE t SET a = 'older' WHERE id = 1");
  node.runAt(T + 30n, "UPDATE t SET a = 'newer' WHERE id = 2");
  node.runAt(T + 31n, "UPDATE t SET a = 'sent' WHERE id = 3");
  const [{ batch, changes }] = await node.read() as [ShardBatch];
  // Another node has read this batch; to this one nothing of it has come back.
  await taker.receive(put("t", T + 20n, { id: 1n, a: "theirs" }), put("t", T + 20n, { id: 2n, a: "theirs" }));
  await taker.apply({ ...node.messageOfPart(batch.parts[0]!), sequence: 2 });
  taker.position = { ...taker.position };
  node.runAt(T + 40n, "UPDATE t SET a = 'last' WHERE id = 3");
  await markPublished(node.database, node.schema, changes, { shard: 1, sequence: 2 });
  await pair.merge();
  assert.deepEqual(node.lines("SELECT a FROM t"), ["'theirs'", "'newer'", "'last'"]);
  assert.deepEqual(node.captured("t", "a"), ["update|last"], "only what is in no stream is pending");
});

Deno.test("merge: own changes that lay before the positions and are not in the snapshot are sent again, in order", async () => {
  await using pair = await Pair.open("INSERT INTO t VALUES (1, 'x'), (2, 'x')");
  const { node, taker } = pair;
  node.runAt(T + 30n, "UPDATE t SET a = 'first' WHERE id = 1");
  const [{ changes }] = await node.read() as [ShardBatch];
  await markPublished(node.database, node.schema, changes, { shard: 1, sequence: 1 });
  node.runAt(T + 31n, "UPDATE t SET a = 'second' WHERE id = 2");
  await taker.receive(put("t", T + 20n, { id: 9n, a: "theirs" }));
  await pair.merge();
  assert.deepEqual(node.captured("t", "a"), ["update|first", "update|second"]);
});

Deno.test("merge: where no stream ever spoke the snapshot's row wins, and the image of ours is kept", async () => {
  await using pair = await Pair.open("INSERT INTO t VALUES (1, 'x')");
  await pair.both(put("t", T, { id: 5n, a: 1n }));
  const { node, taker } = pair;
  unseen(taker, "UPDATE t SET a = 'theirs' WHERE id = 1");
  unseen(node, "UPDATE t SET a = 'ours' WHERE id = 1; INSERT INTO t VALUES (2, 'ours alone')");
  await taker.receive(put("t", T + 1n, { id: 6n, a: 1n }));
  await pair.merge();
  assert.deepEqual(node.lines("SELECT * FROM t WHERE id < 5"), ["1|'theirs'", "2|'ours alone'"]);
  assert.deepEqual(node.lines(`SELECT row FROM "__harmonylite___conflict_log"`), [
    `'{"a":"'ours'","id":"1"}'`,
  ]);
  assert.deepEqual(node.captured("t", "id"), []);
});

Deno.test("merge: after a longer absence than deleted rows are remembered a row of ours alone goes, and its image is kept", async () => {
  await using pair = await Pair.open("INSERT INTO t VALUES (1, 'x')", { versionRetentionMs: HOUR_MS });
  await pair.both(put("t", T, { id: 5n, a: 1n }));
  unseen(pair.taker, "DELETE FROM t WHERE id = 1");
  await pair.taker.receiveAt(T + HOUR_NS + 1n, put("t", T + 1n, { id: 6n, a: 1n }));
  await pair.merge();
  pair.assertSame();
  assert.deepEqual(pair.node.lines(`SELECT row FROM "__harmonylite___conflict_log"`), [
    `'{"a":"'x'","id":"1"}'`,
  ]);
});

Deno.test("merge: a node that joins tells the others of the rows that it alone has", async () => {
  await using pair = await Pair.open("INSERT INTO t VALUES (1, 'both')");
  unseen(pair.node, "INSERT INTO t VALUES (2, 'ours alone')");
  await pair.taker.receive(put("t", T, { id: 3n, a: "theirs" }), remove("t", T + 1n, { id: 4n }));
  unseen(pair.node, "INSERT INTO t VALUES (4, 'deleted by the others')");
  await pair.merge();
  assert.deepEqual(pair.node.lines("SELECT * FROM t"), ["1|'both'", "2|'ours alone'", "3|'theirs'"]);
  assert.deepEqual(pair.node.captured("t", "id", "a"), ["update|2|ours alone"]);
});

Deno.test("merge: parts that the snapshot waits for others of wait here, too", async () => {
  await using pair = await Pair.open();
  const other = await CoreLab.open(SCHEMA, { maxBatch: 1 });
  await using _other = other;
  other.run("BEGIN; INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b'); COMMIT");
  const [{ batch }] = await other.read() as [ShardBatch];
  const [first, second] = batch.parts.map((part) => pair.taker.messageOfPart(part));
  await pair.taker.apply(first!);
  await pair.merge();
  assert.deepEqual(pair.node.lines("SELECT * FROM t"), []);
  await pair.node.apply(second!);
  assert.deepEqual(pair.node.lines("SELECT * FROM t"), ["1|'a'", "2|'b'"]);
});

Deno.test("merge: a snapshot whose schema is ahead moves nothing, and can be merged after the schema change", async () => {
  await using pair = await Pair.open();
  pair.taker.run("ALTER TABLE t ADD COLUMN b");
  await pair.taker.receive(put("t", T, { id: 1n, a: 1n, b: 2n }));
  await assert.rejects(pair.merge(), { name: "SchemaBehindError" });
  assert.deepEqual(pair.node.lines(`SELECT * FROM t, "__harmonylite___position"`), []);
  pair.node.run("ALTER TABLE t ADD COLUMN b");
  await pair.merge();
  pair.assertSame();
});

Deno.test("merge: an application that writes in between loses nothing", async () => {
  await using pair = await Pair.open();
  const rows = Array.from({ length: 3_000 }, (_, id) => put("t", T + BigInt(id), { id: BigInt(id), a: "x" }));
  await pair.taker.receive(...rows);
  let isDone = false;
  const merging = pair.merge(500).finally(() => isDone = true);
  let written = 0;
  while (!isDone) {
    if (tryToRun(pair.node, `INSERT INTO t VALUES (${10_000 + written}, 'own')`)) written++;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await merging;
  const count = (sql: string): string[] => pair.node.lines(`SELECT count(*) FROM ${sql}`);
  assert.deepEqual(count("t WHERE a = 'own'"), [String(written)]);
  assert.deepEqual(count("t WHERE a = 'x'"), ["3000"]);
  assert.deepEqual(count(`"__harmonylite___global_change_log"`), [String(written)]);
});

Deno.test("merge: of thousands of rows those that differ are found, wherever they lie, and no others", async () => {
  await using pair = await Pair.open(`
    WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 5000) INSERT INTO t SELECT i, 'x' FROM n;
    WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 5000)
    INSERT INTO folded SELECT 'k' || i, i FROM n`);
  const { node, taker } = pair;
  // Among them both sides of the first borders between blocks.
  const other = [1, 2, 64, 65, 192, 193, 448, 449, 960, 961, 1984, 1985, 3008, 3009, 4999];
  unseen(taker, `UPDATE t SET a = 'theirs' WHERE id IN (${other}); DELETE FROM t WHERE id = 2000`, "t");
  unseen(taker, "UPDATE folded SET k = upper(k) WHERE a % 1000 = 0", "folded");
  unseen(
    node,
    "INSERT INTO t SELECT id + 10000, 'ours' FROM t WHERE id <= 3000; DELETE FROM t WHERE id = 5000",
    "t",
  );
  await taker.receive(put("t", T, { id: 20_000n, a: 1n }));
  // Theirs, the deleted one that is kept, 3000 of ours alone, 5000, and the new one, whose version is new as well.
  assert.equal(await pair.merge(), other.length + 1 + 3000 + 1 + 1 + 5);
  assert.deepEqual(node.lines("SELECT count(*) FROM t"), ["8001"]);
  assert.deepEqual(node.lines("SELECT count(*) FROM t WHERE a = 'theirs'"), [String(other.length)]);
  assert.deepEqual(node.lines("SELECT count(*) FROM folded WHERE k GLOB 'K*'"), ["5"]);
  assert.equal(await pair.merge(), 3001, "only those that stay are found again");
});

/** Writes that no trigger has seen: from before capture, or by a hand around it. */
function unseen(lab: CoreLab, sql: string, table = "t"): void {
  lab.run(
    `${sql}; DELETE FROM "__harmonylite__${table}_change_log"; DELETE FROM "__harmonylite___global_change_log"`,
  );
}

/** False when a transaction of the merge is in the way: an application would wait, but not in one thread with it. */
function tryToRun(lab: CoreLab, sql: string): boolean {
  try {
    lab.run(sql);
    return true;
  } catch (error) {
    if (error instanceof Error && error.message.includes("locked")) return false;
    throw error;
  }
}

Deno.test("a column that goes while rows are compared with a snapshot does not end the merge", async () => {
  await using pair = await Pair.open();
  await pair.both(put("t", T, { id: 1n, a: 1n }));
  await pair.taker.receive(put("t", T + 1n, { id: 2n, a: 2n }));
  const { reader } = pair.node;
  const { look } = reader;
  let isFirst = true;
  reader.look = (work, signal) => {
    if (isFirst) pair.node.run("ALTER TABLE t DROP COLUMN a");
    isFirst = false;
    return look.call(reader, work, signal) as ReturnType<typeof look<ReturnType<typeof work>>>;
  };
  await pair.merge();
  assert.deepEqual(pair.node.lines("SELECT * FROM t"), ["1", "2"]);
});
