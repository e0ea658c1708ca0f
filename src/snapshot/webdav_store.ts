import { sleep } from "../lib/sleep.ts";
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
import { notFound, STORE_FULL, type Verdict } from "./store_error.ts";
import { readBody, STORE_LIMITS, type StoreLimits, Transfer } from "./transfer.ts";
import { parseWebdavUrl } from "./webdav_address.ts";
import { WebdavClient, WebdavRefusal } from "./webdav_client.ts";

/** A put that has failed may take so long to remove what it has sent. */
const TIDYING_MS = 5_000;
const TIDYING_PAUSE_MS = 250;

export interface WebdavStoreSettings {
  /** As `parseWebdavUrl` reads it. */
  readonly url: string;
}

/** Snapshots as files of a WebDAV server, in a folder that the first put makes. */
export class WebdavStore implements SnapshotStore {
  readonly description: string;
  readonly #client: WebdavClient;
  readonly #limits: StoreLimits;

  constructor({ url }: WebdavStoreSettings, limits: StoreLimits = STORE_LIMITS) {
    const address = parseWebdavUrl(url);
    this.#client = new WebdavClient(address);
    this.#limits = limits;
    this.description = `WebDAV folder ${address.folder}`;
  }

  async put(name: string, content: AsyncIterable<Uint8Array>, { size, signal }: PutOptions): Promise<void> {
    using transfer = this.#transfer("put", name, signal);
    await transfer.run(async () => {
      await this.#prepare(name, transfer.signal);
      const temporary = temporaryName(name);
      try {
        await this.#client.put(temporary, transfer.outgoing(content, size), size, transfer.signal);
        await this.#client.move(temporary, name, transfer.signal);
      } catch (error) {
        await this.#tidy(temporary);
        throw error;
      }
    });
  }

  async get(name: string, signal: AbortSignal): Promise<ObjectContent | undefined> {
    using transfer = this.#transfer("get", name, signal);
    const response = await transfer.run(() => this.#client.get(name, transfer.signal));
    if (response === undefined) return undefined;
    const size = Number(response.headers.get("content-length"));
    return { size, content: transfer.incoming(readBody(response.body ?? new ReadableStream()), size) };
  }

  async list(signal: AbortSignal): Promise<StoredObject[]> {
    using transfer = this.#transfer("list", undefined, signal);
    const entries = await transfer.run(() => this.#client.list(transfer.signal)) ?? [];
    return sortedByName(
      entries.filter(({ name }) => isObjectName(name))
        .map(({ name, size, modifiedMs }) => ({ name, size, modifiedMs })),
    );
  }

  async rename(from: string, to: string, signal: AbortSignal): Promise<void> {
    using transfer = this.#transfer("rename", from, signal);
    await transfer.run(async () => {
      // Servers do not agree on the status of a move from nowhere.
      const entries = await this.#client.list(transfer.signal) ?? [];
      if (!entries.some(({ name }) => name === from)) throw notFound(transfer.action);
      transfer.expect(this.#limits.finishMs);
      await this.#client.move(from, to, transfer.signal);
    });
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    using transfer = this.#transfer("delete", name, signal);
    await transfer.run(() => this.#client.delete(name, transfer.signal));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #transfer(verb: string, name: string | undefined, signal: AbortSignal): Transfer {
    const action = describeAction(verb, name, this.description);
    return new Transfer({ action, judge, limits: this.#limits, signal });
  }

  /** A server that still writes what it has got refuses this, or makes the file again, so it is looked at again. */
  async #tidy(temporary: string): Promise<void> {
    const signal = AbortSignal.timeout(TIDYING_MS);
    try {
      for (let isThere = true; isThere;) {
        await this.#client.delete(temporary, signal).catch(unlessRefused);
        await sleep(TIDYING_PAUSE_MS, signal);
        isThere = (await this.#client.list(signal) ?? []).some(({ name }) => name === temporary);
      }
    } catch {
      // The next put of the name does it.
    }
  }

  /** The folder is there, and without what puts of this name that were killed have left in it. */
  async #prepare(name: string, signal: AbortSignal): Promise<void> {
    const entries = await this.#client.list(signal);
    if (entries === undefined) return await this.#client.makeFolder(signal);
    for (const entry of entries) {
      if (isTemporaryNameOf(entry.name, name)) await this.#client.delete(entry.name, signal);
    }
  }
}

function unlessRefused(error: unknown): void {
  if (!(error instanceof WebdavRefusal)) throw error;
}

function judge(error: unknown): Verdict | undefined {
  if (!(error instanceof WebdavRefusal)) return undefined;
  const { method, status } = error;
  if (status === 401) {
    return {
      code: "LOGIN_REFUSED",
      transient: false,
      wording: "the server does not accept the login or its secret",
      hint:
        "Check login and secret in snapshot.webdav.url; characters like & + # and % must be encoded there.",
    };
  }
  if (status === 403) {
    return {
      code: "FORBIDDEN",
      transient: false,
      wording: "permission denied",
      hint: "Let this user read and write the folder of snapshot.webdav.url.",
    };
  }
  if (status === 507 || status === 413) return STORE_FULL;
  if (method === "PUT" && status === 405) {
    return {
      code: "UPLOAD_REFUSED",
      transient: true,
      wording: "the server broke the upload off with status 405, as some do when their disk is full",
      hint: "Look at the disk of the server and at its log.",
    };
  }
  if (status >= 500 || status === 423 || status === 429) {
    return { code: "STORE_UNAVAILABLE", transient: true };
  }
  return {
    code: "STORE_REFUSED",
    transient: false,
    hint: "Check that snapshot.webdav.url leads to a WebDAV server, and to a folder that can be written.",
  };
}
