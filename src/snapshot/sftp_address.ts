/** Where snapshots lie on an SSH server, and who we are there. */
export interface SftpAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Empty: none. */
  readonly password: string;
  /** Absolute, or relative to the user's home. */
  readonly folder: string;
}

const DEFAULT_PORT = 22;

/** Reads `sftp://user:password@host:port/folder`; `/~/folder` lies in the user's home. */
export function parseSftpUrl(text: string): SftpAddress {
  const { hostname, port, username, password, pathname } = new URL(text);
  const path = decodeURIComponent(pathname).replaceAll(/\/{2,}/g, "/").replace(/(.)\/$/, "$1");
  return {
    host: hostname.replaceAll(/^\[|\]$/g, ""),
    port: port === "" ? DEFAULT_PORT : Number(port),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    folder: path === "/~" ? "." : path.replace(/^\/~\//, "") || "/",
  };
}
