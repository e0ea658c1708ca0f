import { parseSftpUrl, type SftpAddress } from "./sftp_address.ts";
import { SFTP_STATUS, type SftpEntry, SftpSession } from "./sftp_session.ts";
import {
  describeAction,
  isObjectName,
  isTemporaryNameOf,
  type ObjectContent,
  type PutOptions,
  type SnapshotStore,
  sortedByName,
  type StoredObject,
  temporaryName,
} from "./store.ts";
import { notFound, STORE_FULL, StoreError, type Verdict } from "./store_error.ts";
import { STORE_LIMITS, type StoreLimits, Transfer } from "./transfer.ts";

/** A put that has failed may take so long to remove what it has sent. */
const TIDYING_MS = 5_000;

export interface SftpStoreSettings {
  /** As `parseSftpUrl` reads it. */
  readonly url: string;
  /** Path of a private key; empty: the password of the URL is used. */
  readonly keyFile: string;
  readonly keyPassphrase: string;
  /** Path of a `known_hosts` file; empty: none. */
  readonly knownHosts: string;
  /** Fingerprint of the host's key; empty: none. */
  readonly hostKey: string;
}

/** Snapshots as files of an SSH server, in a folder that the first put makes. Each operation has a connection of its own. */
export class SftpStore implements SnapshotStore {
  readonly description: string;
  readonly #settings: SftpStoreSettings;
  readonly #address: SftpAddress;
  readonly #limits: StoreLimits;

  constructor(settings: SftpStoreSettings, limits: StoreLimits = STORE_LIMITS) {
    this.#settings = settings;
    this.#address = parseSftpUrl(settings.url);
    this.#limits = limits;
    const { host, port, folder } = this.#address;
    this.description = `SFTP folder "${folder}" at ${host}:${port}`;
  }

  async put(name: string, content: AsyncIterable<Uint8Array>, { size, signal }: PutOptions): Promise<void> {
    using transfer = this.#transfer("put", name, signal);
    await transfer.run(async () => {
      await using session = await this.#connect(transfer);
      await this.#prepare(name, session);
      const temporary = this.#path(temporaryName(name));
      try {
        await session.write(temporary, transfer.outgoing(content, size));
        await session.rename(temporary, this.#path(name));
      } catch (error) {
        const isFull = isFailure(error) && (await session.freeBytes(this.#address.folder) ?? Infinity) < size;
        await this.#tidy(temporary, transfer.action);
        throw isFull ? fullStore(transfer.action) : error;
      }
    });
  }

  async get(name: string, signal: AbortSignal): Promise<ObjectContent | undefined> {
    using transfer = this.#transfer("get", name, signal);
    const found = await transfer.run(async () => {
      await using session = await this.#connect(transfer);
      return await session.stat(this.#path(name)).catch(unlessAbsent);
    });
    if (found === undefined) return undefined;
    return { size: found.size, content: transfer.incoming(this.#read(name, transfer), found.size) };
  }

  async list(signal: AbortSignal): Promise<StoredObject[]> {
    using transfer = this.#transfer("list", undefined, signal);
    const entries = await transfer.run(async () => {
      await using session = await this.#connect(transfer);
      return await session.list(this.#address.folder).catch(unlessAbsent) ?? [];
    });
    return sortedByName(
      entries.filter(({ filename, attrs }) => attrs.isFile() && isObjectName(filename))
        .map(({ filename, attrs }) => ({ name: filename, size: attrs.size, modifiedMs: attrs.mtime * 1000 })),
    );
  }

  async rename(from: string, to: string, signal: AbortSignal): Promise<void> {
    using transfer = this.#transfer("rename", from, signal);
    await transfer.run(async () => {
      await using session = await this.#connect(transfer);
      await session.rename(this.#path(from), this.#path(to)).catch((error) => {
        unlessAbsent(error);
        throw notFound(transfer.action);
      });
    });
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    using transfer = this.#transfer("delete", name, signal);
    await transfer.run(async () => {
      await using session = await this.#connect(transfer);
      await session.remove(this.#path(name)).catch(unlessAbsent);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #transfer(verb: string, name: string | undefined, signal: AbortSignal): Transfer {
    const action = describeAction(verb, name, this.description);
    return new Transfer({ action, judge, limits: this.#limits, signal, leavesGarbage: true });
  }

  #connect({ action, signal }: Pick<Transfer, "action" | "signal">): Promise<SftpSession> {
    const { connectMs } = this.#limits;
    return SftpSession.open({ ...this.#settings, address: this.#address, connectMs, action, signal });
  }

  async *#read(name: string, transfer: Transfer): AsyncGenerator<Uint8Array> {
    await using session = await this.#connect(transfer);
    yield* session.read(this.#path(name));
  }

  /** Over a connection of its own, as the one that was aborted is gone. */
  async #tidy(temporary: string, action: string): Promise<void> {
    try {
      const signal = AbortSignal.timeout(TIDYING_MS);
      await using session = await this.#connect({ action, signal });
      await session.remove(temporary);
    } catch {
      // The next put of the name does it.
    }
  }

  /** The folder is there, and without what puts of this name that were killed have left in it. */
  async #prepare(name: string, session: SftpSession): Promise<void> {
    const { folder } = this.#address;
    const entries: SftpEntry[] | undefined = await session.list(folder).catch(unlessAbsent);
    if (entries === undefined) {
      const parts = folder.split("/");
      for (let count = 1; count <= parts.length; count++) {
        const path = parts.slice(0, count).join("/");
        const isThere = path === "" || await session.stat(path).catch(unlessAbsent) !== undefined;
        if (!isThere) await session.makeFolder(path);
      }
    }
    for (const { filename } of entries ?? []) {
      if (isTemporaryNameOf(filename, name)) await session.remove(this.#path(filename));
    }
  }

  #path(name: string): string {
    return `${this.#address.folder}/${name}`;
  }
}

/** SFTP's word for all that has no code of its own, a full disk among it. */
function isFailure(error: unknown): boolean {
  return codeOf(error) === SFTP_STATUS.failure;
}

function fullStore(action: string): StoreError {
  const { code, transient, wording, hint = "" } = STORE_FULL;
  return new StoreError(code, `${action}: ${wording}`, { transient, hint });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function unlessAbsent(error: unknown): undefined {
  if (codeOf(error) !== SFTP_STATUS.noSuchFile) throw error;
}

function judge(error: unknown): Verdict | undefined {
  const level = error instanceof Error && "level" in error ? error.level : undefined;
  if (level === "client-authentication") {
    return {
      code: "LOGIN_REFUSED",
      transient: false,
      wording: "the server does not accept the user with this password or key",
      hint: "Check user and password in snapshot.sftp.url, or key_file, and that the server knows the key.",
    };
  }
  if (level === "client-timeout") {
    return { code: "UNREACHABLE", transient: true, wording: "the host does not answer" };
  }
  if (codeOf(error) === SFTP_STATUS.permissionDenied) {
    return {
      code: "FORBIDDEN",
      transient: false,
      wording: "permission denied",
      hint: "Let this user read and write the folder of snapshot.sftp.url.",
    };
  }
  if (
    error instanceof Error &&
    /no response from server|connection (closed|lost)|not connected/i.test(error.message)
  ) {
    return { code: "CONNECTION_LOST", transient: true, wording: "the connection was cut" };
  }
  return undefined;
}
