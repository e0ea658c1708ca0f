/** A server address without its secrets, and the secrets. */
export interface ServerAddress {
  /** `host:port`, as the client library wants it. */
  readonly address: string;
  readonly tls: boolean;
  readonly userName?: string;
  readonly userPassword?: string;
}

/**
 * Splits `nats://user:password@host:port`. The library would ignore the user and take digits of a password for
 * the port, so it never gets to see them.
 */
export function parseServerUrl(url: string): ServerAddress {
  const [, scheme = "nats", authority = ""] = /^(?:([a-z][a-z0-9+]*):\/\/)?([^/]*)/i.exec(url.trim()) ?? [];
  const at = authority.lastIndexOf("@");
  const [user, ...password] = at < 0 ? [] : authority.slice(0, at).split(":");
  return {
    address: authority.slice(at + 1),
    tls: scheme.toLowerCase() === "tls",
    ...user === undefined ? {} : { userName: unescape(user) },
    ...password.length === 0 ? {} : { userPassword: unescape(password.join(":")) },
  };
}

/** `host:port` of each server, for messages: what a URL says about a user is left out. */
export function redactUrls(urls: readonly string[]): string {
  return urls.map((url) => parseServerUrl(url).address).join(", ");
}

function unescape(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A bare % in a password.
  }
}
