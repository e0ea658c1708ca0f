import assert from "node:assert/strict";
import { ProgressBar } from "./progress_bar.ts";

Deno.test("a bar is drawn on a terminal, not more often than one can see, and is gone at the end", () => {
  const written: string[] = [];
  let nowMs = 0;
  {
    using bar = new ProgressBar({ write: (text) => written.push(text) }, true, () => nowMs);
    for (let done = 0; done <= 1000; done++, nowMs++) bar.show("uploading", { done, total: 1000 });
    bar.show("verifying", { done: 0, total: 0 });
  }
  assert.equal(written.length, 13);
  assert.ok(written[5]!.includes("uploading") && written[5]!.includes(" 50 %"), written[5]);
  assert.ok(written[10]!.includes("██████████████████████████████ 100 %"));
  assert.equal(written.at(-1), "\r\x1b[K");
});

Deno.test("nothing of a bar is written to a file or a pipe", () => {
  const written: string[] = [];
  {
    using bar = new ProgressBar({ write: (text) => written.push(text) }, false);
    bar.show("uploading", { done: 1, total: 2 });
  }
  assert.deepEqual(written, []);
});
