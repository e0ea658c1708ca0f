import { Buffer } from "node:buffer";
import ssh2 from "ssh2";
import { messageOf } from "../lib/errors.ts";
import { fingerprintOf, type HostKeyFault, judgeHostKey, knownAlgorithms } from "./host_keys.ts";
import type { SftpAddress } from "./sftp_address.ts";
import { StoreError } from "./store_error.ts";

/** Bytes of one request; every server takes that much. */
const REQUEST_BYTES = 32 << 10;
/** Enough for 20 MB/s over 50 ms. */
const REQUESTS_IN_FLIGHT = 32;
/** How long a server may take to take leave. */
const CLOSE_TIMEOUT_MS = 1_000;
/** For this program's user alone. */
const FILE_MODE = 0o600;

/** Status codes of SFTP. */
export const SFTP_STATUS = { endOfFile: 1, noSuchFile: 2, permissionDenied: 3, failure: 4 } as const;

export interface SftpOptions {
  readonly address: SftpAddress;
  /** Empty: the password is used. */
  readonly keyFile: string;
  readonly keyPassphrase: string;
  /** Empty: none. */
  readonly knownHosts: string;
  readonly hostKey: string;
  readonly connectMs: number;
  /** Beginning of messages. */
  readonly action: string;
  /** Ends the session at once. */
  readonly signal: AbortSignal;
}

export interface SftpEntry {
  readonly filename: string;
  readonly attrs: SftpAttributes;
}

export interface SftpAttributes {
  /** Bytes. */
  readonly size: number;
  /** Unix seconds. */
  readonly mtime: number;
  isFile(): boolean;
}

type Callback = (error: Error | undefined, result?: unknown) => void;

/** The parts of ssh2 that are used here; it brings no types. */
interface Sftp {
  readonly [method: string]: (...args: unknown[]) => unknown;
}
interface Client {
  on(event: string, listener: (...args: never[]) => void): Client;
  connect(options: Record<string, unknown>): void;
  setNoDelay(on: boolean): void;
  sftp(callback: (error: Error | undefined, sftp: Sftp) => void): void;
  end(): void;
  destroy(): void;
}

/**
 * A connection to an SSH server and the files there.
 *
 * Made of ssh2 itself: ssh2-sftp-client, which is built on it, waits for the answer to each 32 KB in either direction,
 * does not flush a file to disk, and keeps us from switching Nagle's algorithm off (10 instead of 70 MB/s).
 */
export class SftpSession implements AsyncDisposable {
  readonly #client: Client;
  readonly #sftp: Sftp;
  readonly #closed: Promise<void>;
  readonly #ignoreAbort: () => void;
  #isClosed = false;

  private constructor(client: Client, sftp: Sftp, closed: Promise<void>, ignoreAbort: () => void) {
    this.#client = client;
    this.#sftp = sftp;
    this.#closed = closed;
    this.#ignoreAbort = ignoreAbort;
    void closed.then(() => this.#isClosed = true);
  }

  /** Rejects with the errors of ssh2, and with a StoreError for a host that is not trusted or a key that is not usable. */
  static async open(options: SftpOptions): Promise<SftpSession> {
    const client = new ssh2.Client() as Client;
    const closed = Promise.withResolvers<void>();
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    const ready = Promise.withResolvers<void>();
    const distrust: { fault?: StoreError } = {};
    const { signal } = options;
    const onAbort = (): void => client.destroy();
    client.on("ready", ready.resolve)
      .on("error", (error: Error) => failed.reject(distrust.fault ?? error))
      .on("close", () => {
        failed.reject(distrust.fault ?? new Error("connection closed"));
        closed.resolve();
      });
    try {
      client.connect(await connectOptions(options, (fault) => distrust.fault = fault));
      signal.addEventListener("abort", onAbort, { once: true });
      signal.throwIfAborted();
      await Promise.race([ready.promise, failed.promise]);
      client.setNoDelay(true);
      const sftp = await Promise.race([openSftp(client), failed.promise]);
      const ignoreAbort = (): void => signal.removeEventListener("abort", onAbort);
      return new SftpSession(client, sftp, closed.promise, ignoreAbort);
    } catch (error) {
      signal.removeEventListener("abort", onAbort);
      client.destroy();
      throw distrust.fault ?? error;
    }
  }

  /** Bytes that the file system of a folder has room for; undefined when the server does not say. */
  async freeBytes(folder: string): Promise<number | undefined> {
    try {
      const { f_bavail, f_frsize } = await this.#call<FreeSpace>("ext_openssh_statvfs", folder);
      return Number(f_bavail) * Number(f_frsize);
    } catch {
      return undefined; // An extension of OpenSSH.
    }
  }

  async list(folder: string): Promise<SftpEntry[]> {
    return await this.#call("readdir", folder);
  }

  async stat(path: string): Promise<SftpAttributes> {
    return await this.#call("stat", path);
  }

  async makeFolder(path: string): Promise<void> {
    await this.#call("mkdir", path);
  }

  async remove(path: string): Promise<void> {
    await this.#call("unlink", path);
  }

  /** In one step where the server can; SFTP itself has no rename that replaces. */
  async rename(from: string, to: string): Promise<void> {
    try {
      await this.#call("ext_openssh_rename", from, to);
    } catch (error) {
      if (!/does not support/.test(messageOf(error))) throw error;
      await this.remove(to).catch(unlessAbsent);
      await this.#call("rename", from, to);
    }
  }

  /** Writes a new file; it is on disk when this resolves, where the server can see to that. */
  async write(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    const handle = await this.#call("open", path, "wx", { mode: FILE_MODE });
    const inFlight: Promise<unknown>[] = [];
    let position = 0;
    for await (const chunk of content) {
      for (let start = 0; start < chunk.length; start += REQUEST_BYTES) {
        const part = chunk.subarray(start, start + REQUEST_BYTES);
        const bytes = Buffer.from(part.buffer, part.byteOffset, part.length);
        const written = this.#call("write", handle, bytes, 0, part.length, position);
        written.catch(() => undefined); // Heard of below, unless an earlier one fails before.
        inFlight.push(written);
        position += part.length;
        if (inFlight.length >= REQUESTS_IN_FLIGHT) await inFlight.shift();
      }
    }
    await Promise.all(inFlight);
    await this.#call("ext_openssh_fsync", handle).catch(unlessUnsupported);
    await this.#call("close", handle);
  }

  /** Through a few buffers: a chunk is gone when the next is asked for. */
  async *read(path: string): AsyncGenerator<Uint8Array> {
    const handle = await this.#call("open", path, "r");
    const inFlight: Promise<Uint8Array>[] = [];
    let position = 0;
    const ask = (buffer: Buffer): void => {
      const bytes = this.#readFully(handle, buffer, position);
      bytes.catch(() => undefined); // Heard of below, unless an earlier one fails before.
      inFlight.push(bytes);
      position += buffer.length;
    };
    for (let index = 0; index < REQUESTS_IN_FLIGHT; index++) ask(Buffer.alloc(REQUEST_BYTES));
    for (;;) {
      const bytes = await inFlight.shift();
      if (bytes === undefined || bytes.length === 0) break;
      yield bytes;
      if (bytes.length < REQUEST_BYTES) break;
      ask(bytes as Buffer);
    }
    await this.#call("close", handle);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ignoreAbort();
    this.#client.end();
    const timer = setTimeout(() => this.#client.destroy(), CLOSE_TIMEOUT_MS);
    await this.#closed;
    clearTimeout(timer);
  }

  /** Fewer bytes than the buffer has room for only at the end of the file. */
  async #readFully(handle: unknown, buffer: Buffer, position: number): Promise<Uint8Array> {
    let filled = 0;
    while (filled < buffer.length) {
      const part = [buffer, filled, buffer.length - filled, position + filled];
      const length = await this.#call<number>("read", handle, ...part).catch((error) => {
        if (error.code !== SFTP_STATUS.endOfFile) throw error;
        return 0;
      });
      if (length === 0) break;
      filled += length;
    }
    return buffer.subarray(0, filled);
  }

  /** What is on its way when the connection ends is rejected by ssh2; what comes after it would stay without an answer. */
  #call<T>(method: string, ...args: unknown[]): Promise<T> {
    if (this.#isClosed) return Promise.reject(new Error("connection closed"));
    return new Promise((resolve, reject) => {
      const callback: Callback = (error, result) => error ? reject(error) : resolve(result as T);
      try {
        this.#sftp[method]?.(...args, callback);
      } catch (error) {
        reject(error); // ssh2 throws when the server lacks an extension.
      }
    });
  }
}

interface FreeSpace {
  readonly f_bavail: number | bigint;
  readonly f_frsize: number | bigint;
}

function openSftp(client: Client): Promise<Sftp> {
  return new Promise((resolve, reject) =>
    client.sftp((error, sftp) => error ? reject(error) : resolve(sftp))
  );
}

async function connectOptions(
  options: SftpOptions,
  distrust: (fault: StoreError) => void,
): Promise<Record<string, unknown>> {
  const { host, port, user, password } = options.address;
  const { keyFile, keyPassphrase, action } = options;
  const trust = {
    knownHosts: options.knownHosts === "" ? "" : await readFile(options.knownHosts, action),
    fingerprint: options.hostKey,
  };
  return {
    host,
    port,
    username: user,
    readyTimeout: options.connectMs,
    ...keyFile === ""
      ? { password }
      : { privateKey: await readKey(keyFile, keyPassphrase, action), passphrase: keyPassphrase },
    algorithms: {
      serverHostKey: { prepend: knownAlgorithms(trust.knownHosts, host, port), append: [], remove: [] },
    },
    hostVerifier: (key: Uint8Array): boolean => {
      const fault = judgeHostKey(key, { host, port }, trust);
      if (fault !== undefined) distrust(untrusted(action, fault, fingerprintOf(key)));
      return fault === undefined;
    },
  };
}

async function readFile(path: string, action: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw new StoreError("BAD_KEY", `${action}: cannot read "${path}": ${messageOf(error)}`, {
      transient: false,
      cause: error,
      hint: "Check key_file and known_hosts in [snapshot.sftp] and who may read them.",
    });
  }
}

async function readKey(path: string, passphrase: string, action: string): Promise<string> {
  const text = await readFile(path, action);
  const parsed: unknown = ssh2.utils.parseKey(text, passphrase === "" ? undefined : passphrase);
  if (!(parsed instanceof Error)) return text;
  throw new StoreError("BAD_KEY", `${action}: the key "${path}" is not usable: ${messageOf(parsed)}`, {
    transient: false,
    hint: "Set key_file and, for an encrypted key, key_passphrase in [snapshot.sftp].",
  });
}

function untrusted(action: string, fault: HostKeyFault, fingerprint: string): StoreError {
  const wording = {
    unknown: `the key of the host is not known; it shows ${fingerprint}`,
    changed: `the host shows another key than the configured one: ${fingerprint}`,
    revoked: `the key of the host is revoked: ${fingerprint}`,
  }[fault];
  return new StoreError("HOST_KEY", `${action}: ${wording}`, {
    transient: false,
    hint:
      "If that is the key of your server (ssh-keygen -lf, run there, prints it), set host_key in [snapshot.sftp] to it, or name a known_hosts file that has it. If not, somebody is in between.",
  });
}

function unlessAbsent(error: { code?: unknown }): void {
  if (error.code !== SFTP_STATUS.noSuchFile) throw error;
}

function unlessUnsupported(error: unknown): void {
  if (!/does not support/.test(messageOf(error))) throw error;
}
