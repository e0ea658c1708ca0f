import assert from "node:assert/strict";
import { connectToNats } from "../../src/nats/connection.ts";
import { NatsPeers } from "../../src/stream/nats_peers.ts";
import type { Peer, PeerHandler } from "../../src/stream/peers.ts";
import { startNatsServer } from "../support/nats_server.ts";

const WAIT_MS = 300;

class Lab implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #stop = new AbortController();
  readonly signal = this.#stop.signal;
  #url = "";

  static async start(): Promise<Lab> {
    const lab = new Lab();
    lab.#url = lab.#stack.use(await startNatsServer()).url;
    return lab;
  }

  async peers(prefix = "changes"): Promise<NatsPeers> {
    const options = { urls: [this.#url], connectRetries: 5, reconnectWaitSeconds: 1, name: "test" };
    const connection = await connectToNats(options, { signal: this.signal });
    this.#stack.defer(() => connection.close());
    return new NatsPeers(connection, prefix);
  }

  async serve(node: bigint, handler: PeerHandler, prefix?: string): Promise<Peer> {
    const peer = { node, instance: crypto.randomUUID() };
    const peers = await this.peers(prefix);
    const serving = peers.serve(peer, handler, this.signal);
    this.#stack.defer(() => serving);
    // Whoever finds it knows that it listens.
    await peers.find({ timeoutMs: 5_000, until: node, signal: this.signal });
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#stack.disposeAsync();
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("stopped"))));
}

Deno.test("nodes that run are found, those of another cluster are not", async () => {
  await using lab = await Lab.start();
  const echo: PeerHandler = (request) => Promise.resolve(request);
  const [second, first] = [await lab.serve(2n, echo), await lab.serve(1n, echo)];
  await lab.serve(3n, echo, "other");
  const asker = await lab.peers();
  assert.deepEqual(await asker.find({ timeoutMs: WAIT_MS, signal: lab.signal }), [first, second]);
  const nobody = await (await lab.peers("nobody")).find({ timeoutMs: 10_000, signal: lab.signal });
  assert.deepEqual(nobody, []);
});

Deno.test("an answer of any size arrives whole, several at a time", async () => {
  await using lab = await Lab.start();
  const peer = await lab.serve(1n, (request) => {
    const size = new DataView(request.buffer, request.byteOffset).getUint32(0);
    return Promise.resolve(new Uint8Array(size).fill(size % 251));
  });
  const asker = await lab.peers();
  const sizes = [0, 1, 1 << 20, (1 << 20) - 1024, 5_000_000, (1 << 21) - 2048];
  await Promise.all(sizes.map(async (size) => {
    const request = new Uint8Array(4);
    new DataView(request.buffer).setUint32(0, size);
    const answer = await asker.ask(peer, request, { timeoutMs: 10_000, signal: lab.signal });
    assert.equal(answer.length, size);
    assert.ok(answer.every((byte) => byte === size % 251));
  }));
});

Deno.test("whoever asks is told what failed, that a node is gone, or that it does not answer", async () => {
  await using lab = await Lab.start();
  const failing = await lab.serve(1n, () => Promise.reject(new Error("no such\ntable")));
  const silent = await lab.serve(2n, () => untilAborted(lab.signal));
  const asker = await lab.peers();
  const ask = (peer: Peer): Promise<Uint8Array> =>
    asker.ask(peer, new Uint8Array(1), { timeoutMs: WAIT_MS, signal: lab.signal });
  await assert.rejects(ask(failing), /Cannot ask node 1: no such table/);
  await assert.rejects(ask(silent), /Cannot ask node 2: no answer within 300 ms/);
  await assert.rejects(ask({ node: 7n, instance: "nobody" }), /Cannot ask node 7: it does not run any more/);
});
