import { atLeast, type Figure } from "../figures.ts";
import { Lab, type LabNode } from "../lab.ts";
import type { Part } from "./part.ts";

const SIZES = [20_000, 200_000];

/** A node that was killed comes back when the others have published many rows. */
export const catchUp: Part = {
  name: "catch-up",
  help: "a node was away and comes back: from its start until it shows all rows",
  measure: async () => {
    const { lab: opened, a, b } = await Lab.openPair();
    await using lab = opened;
    const figures: Figure[] = [];
    let firstId = 1;
    for (const rows of SIZES) {
      figures.push(...await measureSize(lab, a, b, { rows, firstId }));
      firstId += rows;
    }
    lab.assertEqual();
    return [...figures, ...lab.memory()];
  },
};

async function measureSize(
  lab: Lab,
  a: LabNode,
  b: LabNode,
  { rows, firstId }: { rows: number; firstId: number },
): Promise<Figure[]> {
  await b.kill();
  const { startedAt, committedAt } = await lab.write(a, { firstId, rows });
  const remainderMs = await a.published();
  const arrival = await lab.read(b, { firstId, rows });
  const start = performance.timeOrigin + performance.now();
  await b.start();
  const { completedAt } = await arrival();
  const label = `${rows.toLocaleString("en-US")} rows`;
  return [
    {
      name: `${label}, start included`,
      value: rows / (completedAt - start) * 1000,
      unit: "rows/s",
      target: atLeast(60_000),
    },
    {
      name: `${label}, published while written`,
      value: rows / (committedAt - startedAt + remainderMs) * 1000,
      unit: "rows/s",
    },
  ];
}
