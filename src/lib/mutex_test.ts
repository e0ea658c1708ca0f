import assert from "node:assert/strict";
import { Mutex } from "./mutex.ts";

Deno.test("work takes turns in the order in which it asked", async () => {
  const mutex = new Mutex();
  const said: string[] = [];
  const work = (name: string) => async (): Promise<void> => {
    said.push(`${name} begins`);
    await Promise.resolve();
    said.push(`${name} ends`);
  };
  await Promise.all([mutex.run(work("a")), mutex.run(work("b"))]);
  assert.deepEqual(said, ["a begins", "a ends", "b begins", "b ends"]);
});

Deno.test("work that fails lets the next have its turn", async () => {
  const mutex = new Mutex();
  await assert.rejects(mutex.run(() => Promise.reject(new Error("no"))), /no/);
  assert.equal(await mutex.run(() => Promise.resolve(7)), 7);
});
