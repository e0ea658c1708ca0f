import {
  type Authenticator,
  credsAuthenticator,
  nkeyAuthenticator,
  type TlsOptions,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-node";
import { messageOf, StreamError } from "../lib/errors.ts";
import type { ServerAddress } from "./server_url.ts";

/** What proves who we are and who the server is; every path is a file of the operator. */
export interface Credentials {
  readonly seedFile?: string;
  readonly credsFile?: string;
  readonly userName?: string;
  readonly userPassword?: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** All ways to authenticate that are configured; the server picks what it asks for. */
export async function makeAuthenticators(
  credentials: Credentials,
  servers: readonly ServerAddress[],
): Promise<Authenticator[]> {
  const made: Authenticator[] = [];
  const { credsFile, seedFile } = credentials;
  if (credsFile !== undefined) {
    made.push(
      prove(
        "credentials",
        credsFile,
        credsAuthenticator(await keepRead("credentials", credsFile, tidyCredentials)),
      ),
    );
  }
  if (seedFile !== undefined) {
    made.push(prove("seed", seedFile, nkeyAuthenticator(await keepRead("seed", seedFile, findSeed))));
  }
  const user = credentials.userName === undefined ? servers.find((server) => server.userName) : credentials;
  if (user?.userName !== undefined) made.push(authenticateUser(user.userName, user.userPassword));
  return made;
}

/** What is needed for TLS; undefined when neither a file nor a `tls://` address asks for it. */
export async function makeTls(
  credentials: Credentials,
  servers: readonly ServerAddress[],
): Promise<TlsOptions | undefined> {
  const { caFile, certFile, keyFile } = credentials;
  const files = Object.entries({ caFile, certFile, keyFile }).filter(([, path]) => path !== undefined);
  if (files.length === 0 && !servers.some((server) => server.tls)) return undefined;
  // The library reads them anew at each connection; reading them here first gives a message that names the file.
  for (const [name, path] of files) await readFile(name.replace("File", " file"), path as string);
  return Object.fromEntries(files) as TlsOptions;
}

function authenticateUser(name: string, password: string | undefined): Authenticator {
  return password === undefined ? tokenAuthenticator(name) : usernamePasswordAuthenticator(name, password);
}

/** Runs an authenticator once: one that throws within a connection attempt shuts the connection without a word. */
function prove(kind: string, path: string, authenticator: Authenticator): Authenticator {
  try {
    authenticator("nonce");
    return authenticator;
  } catch (error) {
    throw new StreamError(
      "BAD_CREDENTIALS",
      `Failed to connect to NATS: ${kind} file "${path}" is not usable: ${messageOf(error)}`,
      { transient: false, hint: "Check what [nats] seed_file and creds_file name." },
    );
  }
}

/**
 * Reads a secret at each call, so that a rotated one is used at the next reconnection. While the file cannot be
 * read the last content serves: an authenticator that throws would close the connection for good.
 */
async function keepRead(
  kind: string,
  path: string,
  tidy: (text: string) => string,
): Promise<() => Uint8Array> {
  const read = (bytes: Uint8Array): Uint8Array =>
    new TextEncoder().encode(tidy(new TextDecoder().decode(bytes)));
  let content = read(await readFile(`${kind} file`, path));
  return () => {
    try {
      content = read(Deno.readFileSync(path));
    } catch {
      // The last content is the best there is.
    }
    return content;
  };
}

async function readFile(kind: string, path: string): Promise<Uint8Array> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    throw new StreamError(
      "BAD_CREDENTIALS",
      `Failed to connect to NATS: cannot read ${kind} "${path}": ${messageOf(error)}`,
      { transient: false, cause: error, hint: "Check the path in [nats] and who may read the file." },
    );
  }
}

/** The library insists on line feeds, and on one at the end; editors and shells do not. */
function tidyCredentials(text: string): string {
  return `${text.replaceAll("\r\n", "\n").trim()}\n`;
}

/** A seed may stand alone or, as other NATS tools write it, between decorated lines. */
function findSeed(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.find((line) => /^S[OAU][A-Z2-7]+$/.test(line)) ?? text.trim();
}
