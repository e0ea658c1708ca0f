import assert from "node:assert/strict";
import { wellStatus } from "../../tests/support/node_statuses.ts";
import { renderPage } from "./cluster_page.ts";
import type { ClusterView, PeerStatus } from "./cluster_view.ts";
import type { NodeStatus } from "./node_status.ts";

const NOW_MS = wellStatus().nowMs;

function peer(status: NodeStatus): PeerStatus {
  return { node: status.node, instance: status.instance, status, problem: undefined };
}

function pageOf(view: Partial<ClusterView>): string {
  return renderPage({
    node: "1",
    atMs: NOW_MS,
    nodes: [],
    gone: [],
    problem: undefined,
    history: [],
    ...view,
  });
}

Deno.test("the page says that all is well only when every node answers and has no problem", () => {
  const well = peer(wellStatus({ node: "1" }));
  const gone = [{ node: "2", host: "edge", seenAtMs: NOW_MS - 120_000 }];
  assert.match(pageOf({ nodes: [well] }), />All is well</);
  assert.match(pageOf({ nodes: [well], gone }), />1 node gone<[^]*edge: last seen 2 min ago/);
  assert.match(pageOf({ nodes: [well], problem: "Not connected to NATS" }), />1 problem</);
  const silent = { node: "2", instance: "x", status: undefined, problem: "no answer within 4000 ms" };
  assert.match(pageOf({ nodes: [well, silent] }), />1 problem<[^]*no answer within 4000 ms/);
  const dead = peer(
    wellStatus({
      node: "2",
      deadLoops: ["publisher"],
      database: { ...wellStatus().database, problem: "locked" },
    }),
  );
  const page = pageOf({ nodes: [well, dead] });
  assert.match(page, /<title>\(2\) HarmonyLite, node 1</);
  assert.match(page, /the publisher loop has ended/);
});

Deno.test("what is not known is a question mark, never a zero", () => {
  const unknown = wellStatus({
    node: "1",
    pending: { changes: undefined, oldestAtMs: undefined },
    conflicts: { lost: 0, kept: undefined },
    quarantined: undefined,
    streams: [{ ...wellStatus().streams[0]!, last: undefined, lagMessages: undefined, lagMs: undefined }],
  });
  const page = pageOf({ nodes: [peer(unknown)] });
  for (const name of ["Longest lag", "Waiting to be sent", "Conflicts kept", "In quarantine"]) {
    assert.match(page, new RegExp(`<b>\\?</b><span class="dim">${name}`));
  }
});

Deno.test("whatever another node says of itself is text on the page", () => {
  const hostile = "<script>alert(1)</script>";
  const status = wellStatus({ node: "1", host: hostile, version: hostile, deadLoops: [hostile] });
  const page = pageOf({
    nodes: [peer(status)],
    gone: [{ node: "2", host: hostile, seenAtMs: 0 }],
    problem: hostile,
  });
  assert.ok(!page.includes(hostile));
  assert.equal(page.split("<script>").length, 2);
});
