import assert from "node:assert/strict";
import { simulate } from "./simulation.ts";

const SEEDS = 300;
const GROUPS = 6;
const TRACE_LINES = 40;

async function allConverge(first: number, last: number): Promise<void> {
  for (let seed = first; seed <= last; seed++) {
    const { trace, violation } = await simulate(seed);
    if (violation === undefined) continue;
    assert.fail([
      `seed ${seed}: ${violation}`,
      `To see all of it: deno task sim --seed ${seed}`,
      `To see no more than it takes: deno task sim --seeds ${seed}`,
      ...trace.slice(-TRACE_LINES),
    ].join("\n"));
  }
}

const perGroup = SEEDS / GROUPS;
for (let first = 1; first <= SEEDS; first += perGroup) {
  const last = first + perGroup - 1;
  Deno.test(`nodes converge and lose nothing, whatever fails: seeds ${first} to ${last}`, async () => {
    await allConverge(first, last);
  });
}
