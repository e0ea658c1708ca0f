import assert from "node:assert/strict";
import { sleep, within, yieldToEventLoop } from "./sleep.ts";

Deno.test("a sleep ends early when it is aborted, with the reason", async () => {
  const controller = new AbortController();
  const asleep = sleep(3_600_000, controller.signal);
  controller.abort(new Error("woken"));
  await assert.rejects(asleep, /woken/);
  await assert.rejects(sleep(3_600_000, controller.signal), /woken/);
});

Deno.test("a sleep without an abort ends by itself", async () => {
  await sleep(1, new AbortController().signal);
});

Deno.test("what is ready runs while long work yields", async () => {
  let ran = false;
  setTimeout(() => ran = true, 0);
  for (let at = 0; at < 1000 && !ran; at++) await yieldToEventLoop();
  assert.ok(ran);
});

Deno.test("what takes longer than it may is undefined, and nothing is left waiting", async () => {
  assert.equal(await within(60_000, Promise.resolve(5)), 5);
  assert.equal(await within(1, new Promise(() => {})), undefined);
  await assert.rejects(within(60_000, Promise.reject(new Error("broken"))), /broken/);
});
