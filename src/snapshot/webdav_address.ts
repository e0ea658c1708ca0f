/** Where snapshots lie on a WebDAV server, and who we are there. */
export interface WebdavAddress {
  /** Without login and query; ends with a slash. */
  readonly folder: URL;
  readonly login: string;
  readonly secret: string;
}

/**
 * Reads `https://host/path?dir=/folder&login=user&secret=password`. Each part is encoded as in any URL; user and password may
 * stand before the host too.
 */
export function parseWebdavUrl(text: string): WebdavAddress {
  const url = new URL(text);
  const { searchParams } = url;
  const segments = `${url.pathname}/${encodeURI(searchParams.get("dir") ?? "")}/`;
  return {
    folder: new URL(segments.replaceAll(/\/{2,}/g, "/"), url.origin),
    login: searchParams.get("login") ?? decodeURIComponent(url.username),
    secret: searchParams.get("secret") ?? decodeURIComponent(url.password),
  };
}
