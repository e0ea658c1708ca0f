import { DatabaseSync } from "node:sqlite";
import { eventually } from "../../support/eventually.ts";
import { startNode } from "../../support/node_process.ts";
import type { TestProcess } from "../../support/process.ts";
import { atMost, type Figure } from "../figures.ts";
import { Lab, TABLE_SQL } from "../lab.ts";
import { processFigures } from "../process_figures.ts";
import type { Part } from "./part.ts";

const ROWS = 1_000_000;
/** About a gigabyte of what does not compress. */
const SQL = `PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; ${TABLE_SQL}
  WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT ${ROWS})
  INSERT INTO t SELECT i, 'reading number ' || i, i * 1.5, randomblob(950) FROM n;`;
const TIMEOUT_MS = 600_000;
const MAX_MEMORY_MB = 150;

/** One node with a gigabyte, snapshots in a folder; another one that has nothing. */
export const snapshot: Part = {
  name: "snapshot",
  help: "a gigabyte: taking a snapshot, joining from it, and a merge in which nothing differs",
  measure: async () => {
    await using lab = await Lab.open();
    const [a, b] = [lab.file("a.db"), lab.file("b.db")];
    run(a, SQL);
    const folder = lab.file("snapshots");
    await Deno.mkdir(folder);
    const start = (nodeId: number, dbPath: string): TestProcess =>
      startNode({
        dir: lab.file(""),
        nodeId,
        dbPath,
        natsUrl: lab.natsUrl,
        settings: {
          replication_log: { shards: 1, max_entries: 10_000_000 },
          snapshot: { enabled: true, store: "file" },
          "snapshot.file": { path: folder },
        },
      });

    const copyStart = performance.now();
    await Deno.copyFile(a, lab.file("copy.db"));
    const copySeconds = (performance.now() - copyStart) / 1000;

    const first = start(1, a);
    try {
      const saved = await first.waitForLog("Snapshot saved", { timeoutMs: TIMEOUT_MS });
      const takeSeconds = Number(/ms=(\d+)/.exec(saved)?.[1]) / 1000;
      const takePeak = processFigures(first.pid)?.peakMb ?? 0;
      run(a, "INSERT INTO t VALUES (-1, 'after it', 0, NULL)");
      await eventually("it was sent", () => count(a, "__harmonylite___global_change_log") === 0);

      const joinStart = performance.now();
      const second = start(2, b);
      try {
        await second.waitForLog("Caught up with the streams", { timeoutMs: TIMEOUT_MS });
        await eventually("all rows are there", () => count(b, "t") === ROWS + 1);
        const joinSeconds = (performance.now() - joinStart) / 1000;
        const joinPeak = processFigures(second.pid)?.peakMb ?? 0;
        const { seconds: mergeSeconds, peakMb: mergePeak } = await mergeAgain(first, start, a);
        return [
          { name: "1 GB, cp of the file", value: copySeconds, unit: "s" },
          { name: "1 GB, snapshot into a folder", value: takeSeconds, unit: "s" },
          { name: "1 GB, snapshot, peak memory", value: takePeak, unit: "MB", target: atMost(MAX_MEMORY_MB) },
          { name: "1,000,000 rows (1 GB), join", value: joinSeconds, unit: "s" },
          {
            name: "1,000,000 rows, join, peak memory",
            value: joinPeak,
            unit: "MB",
            target: atMost(MAX_MEMORY_MB),
          },
          { name: "1,000,000 rows, merge, nothing differs", value: mergeSeconds, unit: "s" },
          {
            name: "1,000,000 rows, merge, peak memory",
            value: mergePeak,
            unit: "MB",
            target: atMost(MAX_MEMORY_MB),
          },
        ] satisfies Figure[];
      } finally {
        await second[Symbol.asyncDispose]();
      }
    } finally {
      await first[Symbol.asyncDispose]();
    }
  },
};

/** A node that has all rows and does not know how far it has read compares itself with the snapshot. */
async function mergeAgain(
  node: TestProcess,
  start: (nodeId: number, dbPath: string) => TestProcess,
  db: string,
): Promise<{ seconds: number; peakMb: number }> {
  await node.stop();
  const saving = start(1, db);
  try {
    await saving.waitForLog("Caught up with the streams", { timeoutMs: TIMEOUT_MS });
  } finally {
    await saving.stop();
  }
  run(db, "DELETE FROM __harmonylite___position");
  const again = start(1, db);
  try {
    await again.waitForLog("Restoring from snapshot", { timeoutMs: TIMEOUT_MS });
    const from = performance.now();
    await again.waitForLog("Restored from snapshot", { timeoutMs: TIMEOUT_MS });
    return { seconds: (performance.now() - from) / 1000, peakMb: processFigures(again.pid)?.peakMb ?? 0 };
  } finally {
    await again[Symbol.asyncDispose]();
  }
}

function run(path: string, sql: string): void {
  using db = new DatabaseSync(path, { timeout: TIMEOUT_MS });
  db.exec(sql);
}

function count(path: string, table: string): number {
  using db = new DatabaseSync(path, { readOnly: true, timeout: TIMEOUT_MS });
  return Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"]);
}
