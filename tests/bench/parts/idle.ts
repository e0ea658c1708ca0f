import { atMost, type Figure } from "../figures.ts";
import { Lab } from "../lab.ts";
import type { Part } from "./part.ts";

const SETTLE_MS = 3_000;
const WATCH_MS = 10_000;

/** A node with nothing to do. */
export const idle: Part = {
  name: "idle",
  help: "start time, and memory and CPU of a node with nothing to do",
  measure: async () => {
    await using lab = await Lab.open();
    const node = lab.addNode();
    const startMs = await node.start();
    await pause(SETTLE_MS);
    const before = node.figures();
    const start = performance.now();
    await pause(WATCH_MS);
    const after = node.figures();
    const figures: Figure[] = [{ name: "start, until capture works", value: startMs, unit: "ms" }];
    if (before === undefined || after === undefined) return figures;
    const seconds = (performance.now() - start) / 1000;
    const cpuPercent = (after.cpuSeconds - before.cpuSeconds) / seconds * 100;
    return [
      ...figures,
      { name: "memory", value: after.residentMb, unit: "MB", target: atMost(128) },
      { name: "CPU", value: cpuPercent, unit: "%", target: atMost(0.5) },
    ];
  },
};

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
