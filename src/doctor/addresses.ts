import type { Config } from "../config/config.ts";
import { type ListenAddress, parseListenAddress } from "../config/listen_address.ts";
import { parseServerUrl } from "../nats/server_url.ts";

const MONITOR_PORT = 8222;

/** An address that a configuration asks for, and by which key. */
export interface WantedPort {
  readonly key: string;
  readonly address: ListenAddress;
}

/** Where a node of this configuration listens, its own server included; free ports, which are not known before, left out. */
export function wantedPorts({ nats, prometheus, healthCheck }: Config): WantedPort[] {
  const own = nats.urls.length > 0 ? [] : [
    ["nats.bind_address", nats.bindAddress],
    ["nats.monitor_address", nats.monitorAddress],
    ["nats.cluster_addr", nats.clusterAddr],
  ] as const;
  const others = [
    ["prometheus.bind", prometheus.enable ? prometheus.bind : ""],
    ["health_check.bind", healthCheck.enable ? healthCheck.bind : ""],
  ] as const;
  return [...own, ...others].filter(([, text]) => text !== "")
    .map(([key, text]) => ({ key, address: parseListenAddress(text) }))
    .filter(({ address }) => address.port > 0);
}

/** `host:port` where the servers of `nats.urls` usually tell how they are doing. */
export function usualMonitors({ nats }: Config): string[] {
  return nats.urls.map((url) => `${parseServerUrl(url).address.replace(/:\d+$/, "")}:${MONITOR_PORT}`);
}
