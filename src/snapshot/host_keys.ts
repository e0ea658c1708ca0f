import { createHash, createHmac } from "node:crypto";

/** A line of a `known_hosts` file that is about one host. */
interface KnownKey {
  readonly type: string;
  /** Base64, as in the file. */
  readonly key: string;
  readonly isRevoked: boolean;
}

/** What a configuration says of the key of one host. */
export interface HostTrust {
  /** Text of a `known_hosts` file; empty: none. */
  readonly knownHosts: string;
  /** Fingerprint; empty: none. */
  readonly fingerprint: string;
}

/** What is wrong with the key that a host shows; undefined when it is trusted. */
export type HostKeyFault = "unknown" | "changed" | "revoked";

export function judgeHostKey(
  key: Uint8Array,
  { host, port }: { host: string; port: number },
  { knownHosts, fingerprint }: HostTrust,
): HostKeyFault | undefined {
  const known = findKnownKeys(knownHosts, host, port);
  const same = known.filter((line) => line.key.replace(/=+$/, "") === key.toBase64({ omitPadding: true }));
  if (same.some(({ isRevoked }) => isRevoked)) return "revoked";
  if (same.length > 0) return undefined;
  if (fingerprint !== "") return fingerprint.replace(/=$/, "") === fingerprintOf(key) ? undefined : "changed";
  return known.some(({ isRevoked }) => !isRevoked) ? "changed" : "unknown";
}

/** As `ssh-keygen -l` prints it. */
export function fingerprintOf(key: Uint8Array): string {
  return `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;
}

/** The kinds of key that are known of a host, as SSH names signatures: a host with several keys must show one of these. */
export function knownAlgorithms(knownHosts: string, host: string, port: number): string[] {
  const types = findKnownKeys(knownHosts, host, port).map(({ type }) => type);
  return [...new Set(types)].flatMap((type) =>
    type === "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"] : [type]
  );
}

function findKnownKeys(text: string, host: string, port: number): KnownKey[] {
  const name = (port === 22 ? host : `[${host}]:${port}`).toLowerCase();
  return text.split("\n").flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const marker = fields[0]?.startsWith("@") ? fields.shift() : undefined;
    const [hosts = "", type = "", key = ""] = fields;
    // An authority signs certificates of hosts, which are not read here.
    if (key === "" || hosts.startsWith("#") || marker === "@cert-authority" || !isFor(hosts, name)) return [];
    return [{ type, key, isRevoked: marker === "@revoked" }];
  });
}

/** Whether the first field of a line is about a host: patterns, some of them excluding, or a hash of the name. */
function isFor(hosts: string, name: string): boolean {
  const [, salt, hash] = /^\|1\|([^|]+)\|(.+)$/.exec(hosts) ?? [];
  if (salt !== undefined) {
    return createHmac("sha1", Uint8Array.fromBase64(salt)).update(name).digest("base64") === hash;
  }
  const patterns = hosts.toLowerCase().split(",");
  const matches = (pattern: string): boolean => toRegExp(pattern).test(name);
  return patterns.some(matches) &&
    !patterns.some((pattern) => pattern.startsWith("!") && matches(pattern.slice(1)));
}

function toRegExp(pattern: string): RegExp {
  const text = pattern.replaceAll(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${text}$`);
}
