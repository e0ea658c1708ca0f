import { unlessAbsent } from "../lib/files.ts";
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

const READ_BYTES = 256 << 10;
/** Snapshots hold the users' data: they are for this program's user alone. */
const FILE_MODE = 0o600;

export interface FileStoreSettings {
  /** A folder that all nodes reach; it must exist, as one that is missing may be a drive that is not mounted. */
  readonly path: string;
}

/** Snapshots as files of a folder. */
export class FileStore implements SnapshotStore {
  readonly description: string;
  readonly #folder: string;
  readonly #limits: StoreLimits;

  constructor({ path }: FileStoreSettings, limits: StoreLimits = STORE_LIMITS) {
    this.#folder = path;
    this.#limits = limits;
    this.description = `folder "${path}"`;
  }

  async put(name: string, content: AsyncIterable<Uint8Array>, { size, signal }: PutOptions): Promise<void> {
    using transfer = this.#transfer("put", name, signal);
    await transfer.run(async () => {
      await this.#requireFolder(transfer.action);
      await this.#removeLeftovers(name);
      const temporary = this.#path(temporaryName(name));
      try {
        await writeSafely(temporary, transfer.outgoing(content, size));
        transfer.signal.throwIfAborted();
        await Deno.rename(temporary, this.#path(name));
      } catch (error) {
        await Deno.remove(temporary).catch(unlessAbsent);
        throw error;
      }
      await syncFolder(this.#folder);
    });
  }

  async get(name: string, signal: AbortSignal): Promise<ObjectContent | undefined> {
    using transfer = this.#transfer("get", name, signal);
    const info = await transfer.run(async () => {
      await this.#requireFolder(transfer.action);
      return await Deno.stat(this.#path(name)).catch(unlessAbsent);
    });
    if (info === undefined) return undefined;
    return { size: info.size, content: transfer.incoming(readFile(this.#path(name)), info.size) };
  }

  async list(signal: AbortSignal): Promise<StoredObject[]> {
    using transfer = this.#transfer("list", undefined, signal);
    return await transfer.run(async () => {
      await this.#requireFolder(transfer.action);
      const objects: StoredObject[] = [];
      for await (const { name, isFile } of Deno.readDir(this.#folder)) {
        if (!isFile || !isObjectName(name)) continue;
        const info = await Deno.stat(this.#path(name)).catch(unlessAbsent);
        if (info === undefined) continue;
        objects.push({ name, size: info.size, modifiedMs: info.mtime?.getTime() ?? 0 });
      }
      return sortedByName(objects);
    });
  }

  async rename(from: string, to: string, signal: AbortSignal): Promise<void> {
    using transfer = this.#transfer("rename", from, signal);
    await transfer.run(async () => {
      await this.#requireFolder(transfer.action);
      await Deno.rename(this.#path(from), this.#path(to)).catch((error) => {
        unlessAbsent(error);
        throw notFound(transfer.action);
      });
      await syncFolder(this.#folder);
    });
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    using transfer = this.#transfer("delete", name, signal);
    await transfer.run(async () => {
      await this.#requireFolder(transfer.action);
      await Deno.remove(this.#path(name)).catch(unlessAbsent);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #transfer(verb: string, name: string | undefined, signal: AbortSignal): Transfer {
    const action = describeAction(verb, name, this.description);
    return new Transfer({ action, judge, limits: this.#limits, signal });
  }

  /** An absent folder holds nothing, but that must not be said of one that is not mounted now. */
  async #requireFolder(action: string): Promise<void> {
    const info = await Deno.stat(this.#folder).catch(unlessAbsent);
    if (info?.isDirectory) return;
    throw new StoreError("NO_FOLDER", `${action}: there is no such folder`, {
      transient: true,
      hint: "Create the folder that snapshot.file.path names, or mount its drive.",
    });
  }

  async #removeLeftovers(name: string): Promise<void> {
    for await (const entry of Deno.readDir(this.#folder)) {
      if (isTemporaryNameOf(entry.name, name)) await Deno.remove(this.#path(entry.name)).catch(unlessAbsent);
    }
  }

  #path(name: string): string {
    return `${this.#folder}/${name}`;
  }
}

/** On disk when it resolves: a name that a power cut survives must not stand for content that did not. */
async function writeSafely(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode: FILE_MODE });
  for await (const chunk of content) {
    for (let written = 0; written < chunk.length;) written += await file.write(chunk.subarray(written));
  }
  await file.sync();
}

async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  const buffer = new Uint8Array(READ_BYTES);
  for (;;) {
    const length = await file.read(buffer);
    if (length === null) return;
    yield buffer.subarray(0, length);
  }
}

/** A rename lasts once the folder is on disk. Network drives and Windows do not have that. */
async function syncFolder(path: string): Promise<void> {
  try {
    using folder = await Deno.open(path);
    await folder.sync();
  } catch {
    // The rename itself has happened.
  }
}

function judge(error: unknown): Verdict | undefined {
  if (error instanceof Deno.errors.PermissionDenied) {
    return {
      code: "FORBIDDEN",
      transient: false,
      wording: "permission denied",
      hint: "Let the user that runs HarmonyLite read and write the folder of snapshot.file.path.",
    };
  }
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return ["ENOSPC", "EDQUOT", "EFBIG"].includes(code) ? STORE_FULL : undefined;
}
