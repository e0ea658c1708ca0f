import assert from "node:assert/strict";
import { wellStatus } from "../../tests/support/node_statuses.ts";
import { ClusterHistory } from "./cluster_history.ts";
import type { PeerStatus } from "./cluster_view.ts";

const MINUTE_MS = 60_000;

function peer(node: string, pending: number): PeerStatus {
  const status = wellStatus({ node, pending: { changes: pending, oldestAtMs: undefined } });
  return { node, instance: node, status, problem: undefined };
}

Deno.test("looks close together are one sample with the worst of each node, and an hour is kept", () => {
  const history = new ClusterHistory();
  history.add(0, [peer("1", 5), peer("2", 1)]);
  history.add(3_000, [peer("1", 2), peer("3", 7)]);
  const lag = (pending: number): unknown => ({ messages: 0, ms: 0, pending });
  assert.deepEqual(history.samples, [{ atMs: 0, nodes: { 1: lag(5), 2: lag(1), 3: lag(7) } }]);
  for (let atMs = 15_000; atMs <= 70 * MINUTE_MS; atMs += 15_000) history.add(atMs, [peer("1", 0)]);
  assert.equal(history.samples.length, 241);
  assert.equal(history.samples[0]!.atMs, 10 * MINUTE_MS);
});

Deno.test("a node that answers no more is gone, and forgotten after an hour", () => {
  const history = new ClusterHistory();
  history.add(0, [peer("10", 0), peer("9", 0), { ...peer("3", 0), status: undefined }]);
  assert.deepEqual(history.gone([]).map(({ node, seenAtMs }) => [node, seenAtMs]), [["9", 0], ["10", 0]]);
  assert.deepEqual(history.gone([peer("9", 0), peer("10", 0)]), []);
  history.add(61 * MINUTE_MS, []);
  assert.deepEqual(history.gone([]), []);
});
