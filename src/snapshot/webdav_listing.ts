/** A file or folder, as a server describes it. */
export interface WebdavEntry {
  /** The last part of its path, decoded. */
  readonly name: string;
  readonly isFolder: boolean;
  /** Bytes; 0 for a folder. */
  readonly size: number;
  /** Unix milliseconds; 0 when the server does not say. */
  readonly modifiedMs: number;
}

/** What a PROPFIND asks for. */
export const LISTING_REQUEST =
  `<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>`;

/**
 * Reads the answer to it, `multistatus` of RFC 4918: a list of elements whose texts hold no others. Servers differ in
 * prefixes and order alone, so no XML parser is needed, and none can be led astray by entities.
 */
export function parseListing(xml: string): WebdavEntry[] {
  return elements(xml, "response").map((response) => {
    const path = unescape(elements(response, "href")[0] ?? "").trim().replace(/\/+$/, "");
    const modifiedMs = Date.parse(elements(response, "getlastmodified")[0] ?? "");
    return {
      name: decode(path.split("/").at(-1) ?? ""),
      isFolder: /<(?:[\w.-]+:)?collection[\s/>]/.test(elements(response, "resourcetype")[0] ?? ""),
      size: Number(elements(response, "getcontentlength")[0] ?? 0),
      modifiedMs: Number.isNaN(modifiedMs) ? 0 : modifiedMs,
    };
  });
}

/** What stands in all elements of that name, whatever their prefix. */
function elements(xml: string, name: string): string[] {
  const pattern = new RegExp(
    `<(?:[\\w.-]+:)?${name}(?:\\s[^>]*)?>([\\s\\S]*?)</(?:[\\w.-]+:)?${name}\\s*>`,
    "gi",
  );
  return [...xml.matchAll(pattern)].map(([, inner = ""]) => inner);
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescape(text: string): string {
  return text.replaceAll(/&(\w+);/g, (whole, name: string) => ENTITIES[name] ?? whole);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A name with a bare %, which no object of ours has.
  }
}
