import { atLeast, atMost, type Figure } from "../figures.ts";
import { Lab } from "../lab.ts";
import type { Part } from "./part.ts";

const SIZES = [20_000, 100_000];

/** One transaction of many rows, from its commit until another node shows all of them. */
export const bulk: Part = {
  name: "bulk",
  help: "one large transaction, from its commit until another node shows it whole",
  measure: async () => {
    const { lab: opened, a, b } = await Lab.openPair();
    await using lab = opened;
    const figures: Figure[] = [];
    let firstId = 1;
    for (const rows of SIZES) {
      const arrival = await lab.read(b, { firstId, rows });
      const { committedAt } = await lab.write(a, { firstId, rows, rowsPerTransaction: rows });
      const { completedAt, halfSeen } = await arrival();
      firstId += rows;
      const label = `${rows.toLocaleString("en-US")} rows`;
      const perSecond = rows / (completedAt - committedAt) * 1000;
      figures.push(
        { name: `${label}, end to end`, value: perSecond, unit: "rows/s", target: atLeast(50_000) },
        { name: `${label}, seen half`, value: halfSeen, unit: "times", target: atMost(0) },
      );
    }
    lab.assertEqual();
    return [...figures, ...lab.memory()];
  },
};
