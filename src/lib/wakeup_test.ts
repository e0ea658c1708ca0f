import assert from "node:assert/strict";
import { Wakeup } from "./wakeup.ts";

const LONG_MS = 3_600_000;
const never = new AbortController().signal;

Deno.test("a wait ends when notified", async () => {
  const wakeup = new Wakeup();
  const waiting = wakeup.wait(LONG_MS, never);
  wakeup.notify();
  await waiting;
});

Deno.test("what is notified while nobody waits ends the next wait, and only that", async () => {
  const wakeup = new Wakeup();
  wakeup.notify();
  wakeup.notify();
  await wakeup.wait(LONG_MS, never);
  let ended = false;
  const controller = new AbortController();
  const second = wakeup.wait(LONG_MS, controller.signal).then(() => ended = true);
  await Promise.resolve();
  assert.equal(ended, false);
  controller.abort();
  await second;
});

Deno.test("a wait ends when its time is over or its signal is aborted, without an error", async () => {
  await new Wakeup().wait(1, never);
  await new Wakeup().wait(LONG_MS, AbortSignal.abort());
  const controller = new AbortController();
  const waiting = new Wakeup().wait(0, controller.signal);
  controller.abort();
  await waiting;
});
