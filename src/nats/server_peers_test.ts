import assert from "node:assert/strict";
import { resolveLeafs, resolvePeers } from "./server_peers.ts";

const ADDRESSES: Record<string, string[]> = { "db.default": ["10.0.0.1", "10.0.0.2", "fd00::3"] };

function resolve(host: string): Promise<string[]> {
  const found = ADDRESSES[host];
  return found === undefined ? Promise.reject(new Error("ENOTFOUND")) : Promise.resolve(found);
}

Deno.test("a peer is dialled as it is named", async () => {
  const urls = ["nats://a:4223", "tls://u:p@b:4223/", "c:4223", "nats://[::1]:1", "nats://a:4223"];
  assert.deepEqual(await resolvePeers(urls, resolve), [
    "nats://a:4223",
    "tls://u:p@b:4223",
    "nats://c:4223",
    "nats://[::1]:1",
  ]);
});

Deno.test("dns:// stands for every address of a host, and for the host while it has none", async () => {
  assert.deepEqual(await resolvePeers(["dns://u:p@db.default:4223/"], resolve), [
    "nats://u:p@10.0.0.1:4223",
    "nats://u:p@10.0.0.2:4223",
    "nats://u:p@[fd00::3]:4223",
  ]);
  assert.deepEqual(await resolvePeers(["dns://not.yet:4223"], resolve), ["nats://not.yet:4223"]);
  assert.deepEqual(await resolvePeers(["dns://127.0.0.1:4223?min=2"]), ["nats://127.0.0.1:4223"]);
});

Deno.test("hubs count as one cluster, each leaf that is dialled by its hub stands alone", async () => {
  const urls = [
    "nats://hub1:7422",
    "nats://leaf1:7422/?hub=true",
    "nats://hub2:7422?hub=false",
    "dns://db.default:7422?hub=true",
  ];
  assert.deepEqual(await resolveLeafs(urls, resolve), [
    { urls: ["nats://hub1:7422", "nats://hub2:7422"], hub: false },
    { urls: ["nats://leaf1:7422"], hub: true },
    { urls: ["nats://10.0.0.1:7422", "nats://10.0.0.2:7422", "nats://[fd00::3]:7422"], hub: true },
  ]);
});
