import { atLeast, atMost, type Figure, percentile, type Target } from "../figures.ts";
import { Lab, type LabNode } from "../lab.ts";
import type { Part, PartOptions } from "./part.ts";

const POLL_INTERVAL_MS = 0.5;
/** Kept up with: what was written at the rate arrived at this part of it, the last row's lag included. */
const KEPT_UP_PART = 0.98;

const TARGETS: Readonly<Record<string, Target>> = {
  "200/s, lag p50": atMost(2),
  "1000/s, lag p99": atMost(20),
  "5000/s, arrived": atLeast(5000 * KEPT_UP_PART),
};

/** Single-row transactions at given rates: how long after its commit another node shows each row. */
export const lag: Part = {
  name: "lag",
  help: "from commit to visible on another node, at given rates of single-row transactions",
  measure: async ({ seconds, rates }: PartOptions) => {
    const { lab: opened, a, b } = await Lab.openPair();
    await using lab = opened;
    const figures: Figure[] = [];
    let firstId = 1;
    for (const rate of rates) {
      const rows = Math.round(rate * seconds);
      figures.push(...await measureRate(lab, a, b, { rate, rows, firstId }));
      firstId += rows;
    }
    lab.assertEqual();
    return [...figures, ...lab.memory()];
  },
};

async function measureRate(
  lab: Lab,
  a: LabNode,
  b: LabNode,
  { rate, rows, firstId }: { rate: number; rows: number; firstId: number },
): Promise<Figure[]> {
  const [committedFile, seenFile] = [lab.file(`committed-${firstId}`), lab.file(`seen-${firstId}`)];
  const reading = { firstId, rows, mode: "each", intervalMs: POLL_INTERVAL_MS, timesFile: seenFile } as const;
  const arrival = await lab.read(b, reading);
  const written = await lab.write(a, {
    firstId,
    rows,
    rowsPerTransaction: 1,
    rate,
    timesFile: committedFile,
  });
  const { completedAt } = await arrival();
  const lags = lagsMs(readTimes(committedFile), readTimes(seenFile));
  const { startedAt, committedAt, transactionUs } = written;
  const figure = (name: string, value: number, unit: string): Figure => {
    const target = TARGETS[`${rate}/s, ${name}`];
    return { name: `${rate}/s, ${name}`, value, unit, ...target === undefined ? {} : { target } };
  };
  return [
    figure("lag p50", percentile(lags, 0.5), "ms"),
    figure("lag p95", percentile(lags, 0.95), "ms"),
    figure("lag p99", percentile(lags, 0.99), "ms"),
    figure("lag max", lags.at(-1) ?? 0, "ms"),
    figure("written", rows / (committedAt - startedAt) * 1000, "rows/s"),
    figure("arrived", rows / (completedAt - startedAt) * 1000, "rows/s"),
    figure("write p50", transactionUs.p50, "µs"),
    figure("write p99", transactionUs.p99, "µs"),
  ];
}

function readTimes(path: string): Float64Array {
  return new Float64Array(Deno.readFileSync(path).buffer);
}

/** Sorted. A row may be seen before its writer has noted the commit: that is no lag. */
function lagsMs(committed: Float64Array, seen: Float64Array): Float64Array {
  return seen.map((time, row) => Math.max(0, time - (committed[row] ?? time))).sort();
}
