import assert from "node:assert/strict";
import { sleep } from "../lib/sleep.ts";
import { StoreError } from "./store_error.ts";
import { PieceCutter, STORE_LIMITS, Transfer } from "./transfer.ts";

const never = new AbortController().signal;
const IMPATIENT = { ...STORE_LIMITS, stallMs: 30, finishMs: 30 };

function transfer(signal = never): Transfer {
  return new Transfer({ action: "Cannot put it", judge: () => undefined, limits: IMPATIENT, signal });
}

async function* chunks(...sizes: number[]): AsyncGenerator<Uint8Array> {
  for (const size of sizes) yield await Promise.resolve(new Uint8Array(size).fill(size));
}

async function drain(content: AsyncIterable<Uint8Array>): Promise<number[]> {
  const sizes: number[] = [];
  for await (const chunk of content) sizes.push(chunk.length);
  return sizes;
}

/** Until it is aborted. */
function hang(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

Deno.test("an operation that does nothing for too long is given up, and its time limit ends with it", async () => {
  using stalling = transfer();
  await assert.rejects(stalling.run(() => hang(stalling.signal)), { name: "StoreError", code: "STALLED" });
  using ended = transfer();
  assert.equal(await ended.run(() => Promise.resolve(7)), 7);
  await sleep(60);
  assert.equal(ended.signal.aborted, false);
});

Deno.test("the time that the source of a put and the reader of a get take does not count", async () => {
  const slowly = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks(1, 2)) {
      await sleep(60);
      yield chunk;
    }
  };
  using put = transfer();
  assert.deepEqual(await put.run(() => drain(put.outgoing(slowly(), 3))), [1, 2]);
  using get = transfer();
  for await (const _ of get.incoming(chunks(1, 2), 3)) await sleep(60);
});

Deno.test("a server that hangs within a get is given up", async () => {
  const hanging = async function* (): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(1);
    await new Promise(() => {});
  };
  using get = transfer();
  await assert.rejects(drain(get.incoming(hanging(), 2)), { code: "STALLED", transient: true });
});

Deno.test("content of another size than announced is refused in both directions", async () => {
  for (const size of [2, 4]) {
    using put = transfer();
    await assert.rejects(put.run(() => drain(put.outgoing(chunks(1, 2), size))), { code: "WRONG_SIZE" });
    using get = transfer();
    await assert.rejects(drain(get.incoming(chunks(1, 2), size)), { code: "TRUNCATED" });
  }
});

Deno.test("errors of the caller's signal and source reach the caller as they are, others as StoreErrors", async () => {
  const [lost, broken] = [new Error("no more interest"), new Error("the source broke")];
  using aborted = transfer(AbortSignal.abort(lost));
  await assert.rejects(aborted.run(() => Promise.resolve()), lost);
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield await Promise.reject(broken);
  };
  using put = transfer();
  const wrapped = put.run(() =>
    drain(put.outgoing(failing(), 1)).catch(() => Promise.reject(new Error("by the library")))
  );
  await assert.rejects(wrapped, broken);
  using other = transfer();
  const failure = await other.run(() => Promise.reject(new Error("first\nsecond"))).catch((error) => error);
  assert.ok(failure instanceof StoreError);
  assert.equal(failure.message, "Cannot put it: first");
});

Deno.test("pieces have one size, hold all in order, and are used again once they are given back", async () => {
  const cutter = new PieceCutter(4);
  const cut: number[][] = [];
  const memory = new Set<ArrayBufferLike>();
  for await (const piece of cutter.cut(chunks(1, 2, 3, 9))) {
    cut.push([...piece]);
    memory.add(piece.buffer);
    cutter.giveBack(piece);
  }
  assert.deepEqual(cut, [[1, 2, 2, 3], [3, 3, 9, 9], [9, 9, 9, 9], [9, 9, 9]]);
  assert.equal(memory.size, 1);
});
