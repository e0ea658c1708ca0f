import { lookup } from "node:dns/promises";
import type { LeafRemote } from "./server_config.ts";

/** All addresses of a host; rejects when it has none. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/**
 * The routes to other servers of the cluster. `dns://host:port` stands for every address of the host. While it has none
 * the host itself is taken: nats-server goes on looking it up.
 */
export async function resolvePeers(
  urls: readonly string[],
  resolve: Resolve = lookupAll,
): Promise<string[]> {
  return [...new Set((await Promise.all(urls.map((url) => resolvePeer(url, resolve)))).flat())];
}

/**
 * The servers that ours dials as a leaf node. Those that it is a leaf of count as one cluster, of which one that answers
 * is enough; each that it is the hub of (`?hub=true`) is dialled by itself.
 */
export async function resolveLeafs(
  urls: readonly string[],
  resolve: Resolve = lookupAll,
): Promise<LeafRemote[]> {
  const hubs: string[] = [];
  const remotes: LeafRemote[] = [];
  for (const url of urls) {
    const { address, isHub } = splitQuery(url);
    const resolved = await resolvePeer(address, resolve);
    if (isHub) remotes.push({ urls: resolved, hub: true });
    else hubs.push(...resolved);
  }
  return hubs.length === 0 ? remotes : [{ urls: [...new Set(hubs)], hub: false }, ...remotes];
}

/** `nats://host:7422/?hub=true` → the address, and whether the one who dials is the hub. */
function splitQuery(url: string): { address: string; isHub: boolean } {
  const [address = "", query = ""] = url.split("?");
  return { address, isHub: new URLSearchParams(query).get("hub") === "true" };
}

async function resolvePeer(url: string, resolve: Resolve): Promise<string[]> {
  const { scheme, user, host, port } = splitServerUrl(url);
  if (scheme !== "dns") return [`${scheme}://${user}${host}:${port}`];
  const addresses = await resolve(host).catch(() => []);
  const hosts = addresses.map((address) => address.includes(":") ? `[${address}]` : address);
  return (hosts.length === 0 ? [host] : hosts).map((each) => `nats://${user}${each}:${port}`);
}

/** The parts of `nats://user@host:port`, the user with its `@`. */
export function splitServerUrl(url: string): Record<"scheme" | "user" | "host" | "port", string> {
  const [, scheme = "nats", user = "", host = "", port = ""] =
    /^(?:([a-z-]+):\/\/)?(.*@)?(\[.*?\]|[^:/]*):(\d+)\/?$/.exec(url.split("?")[0]!) ?? [];
  return { scheme, user, host, port };
}

async function lookupAll(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => address).sort();
}
