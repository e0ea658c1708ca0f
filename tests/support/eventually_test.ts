import assert from "node:assert/strict";
import { eventually } from "./eventually.ts";

Deno.test("eventually returns the first truthy value", async () => {
  let calls = 0;
  const value = await eventually("three calls", () => ++calls >= 3 && calls, { intervalMs: 1 });
  assert.equal(value, 3);
});

Deno.test("eventually takes a block of assertions that stops throwing", async () => {
  let calls = 0;
  await eventually("two calls", () => assert.equal(++calls, 2), { intervalMs: 1 });
  assert.equal(calls, 2);
});

Deno.test("eventually fails with its name and the last failure", async () => {
  const failing = eventually("blue moon", () => Promise.reject(new Error("it is red")), {
    timeoutMs: 5,
    intervalMs: 1,
  });
  await assert.rejects(failing, /Cannot see "blue moon" within 5 ms .*: it is red/);
});

Deno.test("eventually says which falsy value it got last", async () => {
  await assert.rejects(eventually("zero", () => 0, { timeoutMs: 1, intervalMs: 1 }), /returned 0/);
});

Deno.test("eventually refuses to compile what may return undefined", async () => {
  const find = (): string | undefined => "found";
  // @ts-expect-error: whether undefined is a success would be a guess
  await eventually("found", find);
});
