import assert from "node:assert/strict";
import { untilAborted } from "../lib/sleep.ts";
import { LoopGroup } from "./loop_group.ts";

/** A loop that ends when it is asked to. */
async function orderly({ signal }: LoopGroup): Promise<void> {
  await untilAborted(new Promise(() => {}), signal);
}

/** Runs loops and says which were told to be dead. */
class Lab {
  readonly dead: string[] = [];
  readonly asked = new AbortController();
  readonly group = new LoopGroup(this.asked.signal, { noteDead: (loop) => this.dead.push(loop) });
}

Deno.test("when a loop fails the others are asked to end, its error is that of all, and it is named", async () => {
  const { group, dead } = new Lab();
  const failing = Promise.reject(new Error("broken"));
  await assert.rejects(group.untilOneFails({ steady: orderly(group), failing }), /broken/);
  assert.ok(group.signal.aborted);
  assert.deepEqual(dead, ["failing"]);
});

Deno.test("a loop that ends though nobody asked it to is named, and the others go on", async () => {
  const { group, dead, asked } = new Lab();
  const running = group.untilOneFails({
    steady: orderly(group),
    short: Promise.resolve(),
    absent: undefined,
  });
  while (dead.length === 0) await Promise.resolve();
  assert.ok(!group.signal.aborted);
  asked.abort();
  await running;
  assert.deepEqual(dead, ["short"]);
});

Deno.test("loops that end when they are asked to are not dead", async () => {
  const { group, dead, asked } = new Lab();
  const running = group.untilOneFails({ steady: orderly(group) });
  asked.abort();
  await running;
  assert.deepEqual(dead, []);
});
