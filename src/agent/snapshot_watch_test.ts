import assert from "node:assert/strict";
import { parseConfig } from "../config/parse.ts";
import { LEADER, LEASE_BUCKET } from "../snapshot/lease.ts";
import type { Generation } from "../snapshot/manifest.ts";
import { StoreError } from "../snapshot/store_error.ts";
import { MemoryBuckets } from "../stream/memory_key_value.ts";
import { SnapshotWatch } from "./snapshot_watch.ts";

const CONFIG = parseConfig(`db_path = "/app.db"
node_id = 7
[snapshot]
store = "sftp"
[snapshot.sftp]
url = "sftp://user:open-sesame@host/folder"
host_key = "SHA256:${"a".repeat(43)}"`);

const TAKEN: Generation = {
  name: "snapshot-20260101T000000Z.db",
  size: 4096,
  sha256: undefined,
  timeMs: Date.UTC(2026, 0, 1),
  node: 7n,
  positions: [],
  schema: "abc",
};

Deno.test("a store that cannot be reached is told with its reason and without its password; the leader is known", async () => {
  const leases = new MemoryBuckets().connect({ bucket: LEASE_BUCKET, folder: "", replicas: 1 });
  const { signal } = new AbortController();
  await leases.put(LEADER, new TextEncoder().encode('{"node":"3","host":"h"}'), signal);
  let attempts = 0;
  const openStore = (): Promise<never> => {
    attempts++;
    return Promise.reject(
      new StoreError("UNREACHABLE", "sftp://user:open-sesame@host does not answer", { transient: true }),
    );
  };
  const snapshots = { isLeader: false, failure: "no room for open-sesame", newest: TAKEN };
  const watch = new SnapshotWatch(CONFIG, { connection: { leases, openStore }, snapshots, signal });
  await watch.status();
  assert.deepEqual(await watch.status(), {
    newest: TAKEN.name,
    takenAtMs: TAKEN.timeMs,
    takenBy: "7",
    bytes: 4096,
    kept: undefined,
    problem: "sftp://***@host does not answer",
    leader: "3",
    isLeader: false,
    failure: "no room for ***",
  });
  assert.equal(attempts, 1, "asked again before its time");
});
