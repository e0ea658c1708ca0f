import assert from "node:assert/strict";
import { renderChart } from "./history_chart.ts";

function paths(points: readonly { atMs: number; value: number | undefined }[]): string[] {
  const chart = renderChart([{ name: "node 1", points }], {
    title: "Lag",
    nowMs: 300_000,
    valueText: String,
  });
  return [...chart.text.matchAll(/class="line c0" d="([^"]*)"/g)].map(([, path]) => path!);
}

Deno.test("a chart goes from its lowest to its highest value, over five minutes at least", () => {
  assert.deepEqual(
    paths([{ atMs: 210_000, value: 0 }, { atMs: 300_000, value: 4 }]),
    ["M303.6,118.0h0L414.0,8.0"],
  );
});

Deno.test("a chart joins no points between which nobody has looked, and leaves out what is not known", () => {
  const [path] = paths([
    { atMs: 0, value: 1 },
    { atMs: 30_000, value: undefined },
    { atMs: 60_000, value: 1 },
    { atMs: 300_000, value: 1 },
  ]);
  assert.equal(path, "M46.0,8.0h0L119.6,8.0M414.0,8.0h0");
});

Deno.test("a chart of nothing, and one of zeros, can be drawn", () => {
  assert.deepEqual(paths([]), [""]);
  assert.deepEqual(paths([{ atMs: 300_000, value: 0 }]), ["M414.0,118.0h0"]);
});
