import { SharedClock } from "../clock.ts";
import type { Figure } from "../figures.ts";
import { Lab } from "../lab.ts";
import type { Part } from "./part.ts";

const ROWS = 200_000;

/** Publishing and applying by themselves: each node works off a backlog while nobody else works. */
export const backlog: Part = {
  name: "backlog",
  help: "publishing alone and applying alone, each from a backlog",
  measure: async () => {
    const { lab: opened, a, b } = await Lab.openPair();
    await using lab = opened;
    await a.kill();
    await b.kill();
    await lab.write(a, { firstId: 1, rows: ROWS });
    await a.start();
    await a.process.waitForLog("Caught up with the streams, publishing");
    const publishMs = await a.published();
    const arrival = await lab.read(b, { firstId: 1, rows: ROWS });
    await b.start();
    await b.process.waitForLog("Connected to NATS");
    const start = new SharedClock().now();
    const { completedAt } = await arrival();
    lab.assertEqual();
    const perSecond = (ms: number): number => ROWS / ms * 1000;
    const figures: Figure[] = [
      { name: "publish", value: perSecond(publishMs), unit: "rows/s" },
      { name: "apply", value: perSecond(completedAt - start), unit: "rows/s" },
    ];
    return [...figures, ...lab.memory()];
  },
};
