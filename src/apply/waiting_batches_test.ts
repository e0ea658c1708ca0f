import assert from "node:assert/strict";
import { CoreLab } from "../../tests/support/core_lab.ts";
import { HEADER_BATCH, HEADER_PART, type LogMessage } from "../stream/replication_log.ts";
import { dropCoveredBatches, readPart, WaitingBatches } from "./waiting_batches.ts";

const DAY_NS = 86_400_000_000_000n;
const STREAM = "lab-1";

function nameOf(first: number, last: number, node = 9): string {
  return `${node}-${first}-${last}-3-0123456789abcdef`;
}

function partOf(batch: string, part: number): LogMessage {
  const headers = new Map([[HEADER_BATCH, batch], [HEADER_PART, `${part}/3`]]);
  return { stream: STREAM, sequence: part, timeNs: 1000n, headers, data: new Uint8Array([part]) };
}

async function withBatches(check: (batches: WaitingBatches, waiting: () => string[]) => void): Promise<void> {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  const dropped = async (): Promise<void> => {
    await lab.database.write(() => {
      check(new WaitingBatches(lab.database), () => {
        dropCoveredBatches(lab.database, STREAM, 1000n + DAY_NS + 1n);
        return lab.database.all(`SELECT batch FROM "__harmonylite___batch" ORDER BY 1`).map(String);
      });
    });
  };
  await dropped();
}

function keep(batches: WaitingBatches, batch: string, part = 1): void {
  batches.keep(partOf(batch, part), readPart(batch, `${part}/3`)!);
}

Deno.test("a batch is complete with its last part, whatever came twice", async () => {
  await withBatches((batches) => {
    const batch = nameOf(1, 9);
    for (const part of [3, 1, 1]) keep(batches, batch, part);
    assert.equal(batches.complete(partOf(batch, 1), readPart(batch, "1/3")!), undefined);
    const contents = batches.complete(partOf(batch, 2), readPart(batch, "2/3")!);
    assert.deepEqual([...contents!()].map((data) => data[0]), [1, 2, 3]);
  });
});

Deno.test("an unfinished batch goes when finished ones of its node hold all its changes", async () => {
  await withBatches((batches, waiting) => {
    keep(batches, nameOf(10, 30));
    batches.cover(STREAM, 9n, 10n, 20n);
    assert.equal(waiting().length, 1);
    batches.cover(STREAM, 9n, 21n, 40n);
    assert.equal(waiting().length, 0);
  });
});

Deno.test("batches of another node, of another stream, or that begin later cover nothing", async () => {
  await withBatches((batches, waiting) => {
    keep(batches, nameOf(10, 30));
    batches.cover(STREAM, 8n, 1n, 99n);
    batches.cover("lab-2", 9n, 1n, 99n);
    batches.cover(STREAM, 9n, 11n, 99n);
    assert.deepEqual(waiting(), [nameOf(10, 30)]);
  });
});

Deno.test("a covered batch stays for a day of stream time: its parts may be a twin's", async () => {
  await using lab = await CoreLab.open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
  await lab.database.write(() => {
    const batches = new WaitingBatches(lab.database);
    keep(batches, nameOf(10, 30));
    batches.cover(STREAM, 9n, 1n, 99n);
    const count = (): number => lab.database.count(`SELECT count(*) FROM "__harmonylite___part"`);
    dropCoveredBatches(lab.database, STREAM, 1000n + DAY_NS);
    assert.equal(count(), 1);
    dropCoveredBatches(lab.database, STREAM, 1000n + DAY_NS + 1n);
    assert.equal(count(), 0);
  });
});

Deno.test("parts that come again after their batch took effect do not wait for ever", async () => {
  await withBatches((batches) => {
    const [first, second, twin] = [nameOf(1, 9), nameOf(10, 19), nameOf(1, 9, 8)];
    const isFinished = (batch: string): boolean => batches.isFinished(STREAM, readPart(batch, "1/3")!);
    assert.equal(isFinished(first), false);
    batches.remember(STREAM, first);
    assert.deepEqual([first, second, twin].map(isFinished), [true, false, false]);
    batches.cover(STREAM, 9n, 20n, 20n);
    assert.equal(isFinished(first), true);
    batches.remember(STREAM, second);
    assert.deepEqual([first, second].map(isFinished), [false, true]);
  });
});

Deno.test("headers that contradict each other are refused", () => {
  for (
    const [batch, part] of [[nameOf(1, 9), undefined], [undefined, "1/3"], [nameOf(1, 9), "1/4"], [
      "x",
      "1/3",
    ]]
  ) {
    assert.throws(() => readPart(batch, part), /Cannot read/);
  }
  assert.equal(readPart(undefined, undefined), undefined);
});
