import { createHash } from "node:crypto";

/** What a server asks for in `WWW-Authenticate`. */
export type Challenge = { readonly scheme: "basic" } | {
  readonly scheme: "digest";
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  /** `auth`, or undefined with servers of the first version. */
  readonly qop: "auth" | undefined;
  /** As the server spells it; undefined means MD5. */
  readonly algorithm: string | undefined;
};

export interface Login {
  readonly login: string;
  readonly secret: string;
}

/** The strongest scheme of the header that is known here; undefined when there is none. */
export function parseChallenge(header: string): Challenge | undefined {
  const digests = header.split(/(?:^|,\s*)Digest\s+/i).slice(1).map(readDigest);
  const known = digests.filter(({ algorithm }) => hashName(algorithm) !== undefined);
  const best = known.find(({ algorithm }) => hashName(algorithm) === "sha256") ?? known[0];
  if (best !== undefined) return best;
  return /(^|,\s*)Basic(\s|$)/i.test(header) ? { scheme: "basic" } : undefined;
}

export interface Request {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** How often the challenge was answered, this time included. */
  readonly count: number;
  /** Random. */
  readonly clientNonce: string;
}

/** The value of `Authorization`, by RFC 7617 and RFC 7616. */
export function answerChallenge(challenge: Challenge, { login, secret }: Login, request: Request): string {
  if (challenge.scheme === "basic") {
    return `Basic ${new TextEncoder().encode(`${login}:${secret}`).toBase64()}`;
  }
  const { realm, nonce, opaque, qop, algorithm } = challenge;
  const hash = (text: string): string => createHash(hashName(algorithm) ?? "md5").update(text).digest("hex");
  const count = request.count.toString(16).padStart(8, "0");
  const secretHash = hash(`${login}:${realm}:${secret}`);
  const own = /-sess$/i.test(algorithm ?? "")
    ? hash(`${secretHash}:${nonce}:${request.clientNonce}`)
    : secretHash;
  const asked = hash(`${request.method}:${request.target}`);
  const middle = qop === undefined ? nonce : `${nonce}:${count}:${request.clientNonce}:${qop}`;
  const fields = [
    ...[
      `username="${quoted(login)}"`,
      `realm="${quoted(realm)}"`,
      `nonce="${nonce}"`,
      `uri="${request.target}"`,
    ],
    `response="${hash(`${own}:${middle}:${asked}`)}"`,
    ...qop === undefined ? [] : [`qop=${qop}`, `nc=${count}`, `cnonce="${request.clientNonce}"`],
    ...algorithm === undefined ? [] : [`algorithm=${algorithm}`],
    ...opaque === undefined ? [] : [`opaque="${opaque}"`],
  ];
  return `Digest ${fields.join(", ")}`;
}

function readDigest(text: string): Challenge & { scheme: "digest" } {
  const fields = new Map<string, string>();
  for (const [, name = "", inQuotes, bare] of text.matchAll(/(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/g)) {
    fields.set(name.toLowerCase(), inQuotes?.replaceAll(/\\(.)/g, "$1") ?? bare ?? "");
  }
  const qops = fields.get("qop")?.split(/\s*,\s*/);
  return {
    scheme: "digest",
    realm: fields.get("realm") ?? "",
    nonce: fields.get("nonce") ?? "",
    opaque: fields.get("opaque"),
    qop: qops?.includes("auth") ? "auth" : undefined,
    algorithm: fields.get("algorithm"),
  };
}

function hashName(algorithm = "MD5"): "md5" | "sha256" | undefined {
  const name = algorithm.toUpperCase().replace(/-SESS$/, "");
  return name === "MD5" ? "md5" : name === "SHA-256" ? "sha256" : undefined;
}

function quoted(text: string): string {
  return text.replaceAll(/["\\]/g, "\\$&");
}
