import { DatabaseSync } from "node:sqlite";
import type { Figure } from "../figures.ts";
import { Lab, TABLE_SQL } from "../lab.ts";
import type { WriterReport } from "../writer.ts";
import type { Part, PartOptions } from "./part.ts";

const RATE = 1_000;

/** What the application feels: the same writes to a database of its own, and to one that a node replicates. */
export const writeLatency: Part = {
  name: "write",
  help: "latency of an application's single-row transactions with and without us",
  measure: async ({ seconds }: PartOptions) => {
    const { lab: opened, a, b } = await Lab.openPair();
    await using lab = opened;
    const plain = lab.file("plain.db");
    using db = new DatabaseSync(plain);
    db.exec(`PRAGMA journal_mode = WAL; ${TABLE_SQL}`);
    const order = { firstId: 1, rows: Math.round(RATE * seconds), rowsPerTransaction: 1, rate: RATE };
    const without = await lab.write({ db: plain }, order);
    const arrival = await lab.read(b, { ...order, intervalMs: 50 });
    const withUs = await lab.write(a, order);
    await arrival();
    lab.assertEqual();
    return [...latencies("without us", without), ...latencies("with us", withUs)];
  },
};

function latencies(label: string, { transactionUs: { p50, p99, max } }: WriterReport): Figure[] {
  return [
    { name: `${RATE}/s, ${label}, p50`, value: p50, unit: "µs" },
    { name: `${RATE}/s, ${label}, p99`, value: p99, unit: "µs" },
    { name: `${RATE}/s, ${label}, max`, value: max, unit: "µs" },
  ];
}
