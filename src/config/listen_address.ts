/** Where a server listens. */
export interface ListenAddress {
  readonly host: string;
  /** -1: a free one. */
  readonly port: number;
}

/** `host:port`, with brackets where the host has colons. */
export function formatAddress({ host, port }: ListenAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Where a program on this machine reaches who listens there: who listens on all interfaces does so on loopback. */
export function localAddress({ host, port }: ListenAddress): string {
  return formatAddress({ host: { "0.0.0.0": "127.0.0.1", "::": "::1" }[host] ?? host, port });
}

/** Reads `host:port` or `[host]:port`; without a host it means all interfaces. */
export function parseListenAddress(text: string): ListenAddress {
  const [, host = "", port = ""] = /^\[?(.*?)\]?:(-?\d+)$/.exec(text) ?? [];
  return { host: host === "" ? "0.0.0.0" : host, port: Number(port) };
}
