import { createHash, type Hash } from "node:crypto";
import type { Position } from "../apply/position.ts";
import { HarmonyLiteError, messageOf } from "../lib/errors.ts";
import type { Progress } from "../sqlite/backup.ts";
import { type Generation, parseManifest, renderManifest, type SnapshotFacts } from "./manifest.ts";
import { SnapshotError } from "./snapshot_error.ts";
import { describeAction, type SnapshotStore, type StoredObject } from "./store.ts";
import { StoreError } from "./store_error.ts";

/** A manifest of more bytes is not ours. */
const MAX_MANIFEST_BYTES = 4 << 20;
const READ_BYTES = 256 << 10;

export interface TransferOptions {
  readonly signal: AbortSignal;
  /** Told of bytes. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * The snapshots of one cluster in a store. The newest is `snapshot.db`, an ordinary SQLite file; the older ones are
 * `snapshot-<time>.db`; `snapshot.json` lists all of them, the newest first.
 *
 * To add one: (a) it is put as `snapshot.new`, so that a store finds what puts that were killed have left, and gets its own
 * name; (b) the manifest is put, with it as the first: from here on it counts;
 * (c) what is called `snapshot.db` gets its own name, (d) the new one becomes `snapshot.db`; (e) what is not listed any
 * more is deleted. Wherever that ends early, readers find every listed snapshot under one of its two names, and the next
 * one that is added goes on from there. One writer at a time: see lease.ts.
 */
export class Generations {
  readonly #store: SnapshotStore;
  readonly #prefix: string;
  readonly #latest: string;
  readonly #incoming: string;
  readonly #manifest: string;

  /** @param prefix stands before all names; empty, or ends with `-` */
  constructor(store: SnapshotStore, prefix: string) {
    this.#store = store;
    this.#prefix = prefix;
    this.#latest = `${prefix}snapshot.db`;
    this.#incoming = `${prefix}snapshot.new`;
    this.#manifest = `${prefix}snapshot.json`;
  }

  /** The snapshots, the newest first. A `snapshot.db` that nobody has listed is one without positions. */
  async list(signal: AbortSignal): Promise<Generation[]> {
    return await this.#readManifest(signal) ?? this.#unlisted(await this.#store.list(signal));
  }

  /**
   * Writes a snapshot to a new file, for this user alone. Rejects with a SnapshotError (SNAPSHOT_DAMAGED, SNAPSHOT_MISSING,
   * COPY_UNWRITABLE), a StoreError or the signal's reason; then there is no file.
   */
  async fetch(generation: Generation, path: string, options: TransferOptions): Promise<void> {
    let file: Deno.FsFile;
    try {
      file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
    } catch (error) {
      throw unwritable(path, error);
    }
    try {
      using _ = file;
      await this.#read(generation, options, async (chunk, isFirst) => {
        if (isFirst) {
          await file.truncate(0);
          await file.seek(0, Deno.SeekMode.Start);
        }
        for (let written = 0; written < chunk.length;) written += await file.write(chunk.subarray(written));
      });
      await file.syncData();
    } catch (error) {
      await Deno.remove(path);
      throw error instanceof HarmonyLiteError || options.signal.aborted ? error : unwritable(path, error);
    }
  }

  /** Reads a snapshot to its end and compares it with what is listed; rejects as {@link fetch} does. */
  async verify(generation: Generation, options: TransferOptions): Promise<void> {
    await this.#read(generation, options, () => Promise.resolve());
  }

  /**
   * Adds the file of a snapshot, which must not change meanwhile, as the newest, and keeps `keep` of them. Rejects with a
   * SnapshotError (SNAPSHOT_BEHIND) when the newest has applied more of any stream.
   */
  async add(
    path: string,
    facts: SnapshotFacts,
    options: TransferOptions & { readonly keep: number },
  ): Promise<Generation> {
    const { keep, signal } = options;
    const objects = await this.#store.list(signal);
    const known = await this.#readManifest(signal) ?? this.#unlisted(objects);
    requireNoneFurther(known, facts);
    await this.#settle(known, objects, signal);
    const name = this.#freeName(facts.timeMs, [...known, ...objects]);
    const generation = { ...facts, name, ...await this.#put(path, options) };
    await this.#store.rename(this.#incoming, name, signal);
    const listed = [generation, ...known].slice(0, keep);
    await this.#putManifest(listed, signal);
    const [, before] = listed;
    if (before) await this.#renameLatest(before.name, signal);
    await this.#store.rename(name, this.#latest, signal);
    await this.#deleteUnlisted(listed, signal);
    return generation;
  }

  /** Ends what an earlier {@link add} has begun: the newest still has its own name if that one came as far as the manifest. */
  async #settle(
    [newest, before]: readonly Generation[],
    objects: readonly StoredObject[],
    signal: AbortSignal,
  ): Promise<void> {
    const has = (wanted: string): boolean => objects.some(({ name }) => name === wanted);
    if (newest === undefined || !has(newest.name)) return;
    // Where renaming is copying, both names may be there: then it does not matter which of the two `snapshot.db` is.
    if (before && !has(before.name)) await this.#renameLatest(before.name, signal);
    await this.#store.rename(newest.name, this.#latest, signal);
  }

  /** There may be none: somebody has removed it, or an earlier {@link add} ended here. */
  async #renameLatest(name: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#store.rename(this.#latest, name, signal);
    } catch (error) {
      if (!(error instanceof StoreError && error.code === "NOT_FOUND")) throw error;
    }
  }

  async #put(
    path: string,
    { signal, onProgress }: TransferOptions,
  ): Promise<{ size: number; sha256: string }> {
    using file = await Deno.open(path);
    const { size } = await file.stat();
    const hash = createHash("sha256");
    const content = hashed(readAll(file), hash, size, onProgress);
    await this.#store.put(this.#incoming, content, { size, signal });
    return { size, sha256: hash.digest("hex") };
  }

  async #putManifest(generations: readonly Generation[], signal: AbortSignal): Promise<void> {
    const bytes = new TextEncoder().encode(renderManifest(generations));
    const once = async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(bytes);
    };
    await this.#store.put(this.#manifest, once(), { size: bytes.length, signal });
  }

  async #deleteUnlisted(listed: readonly Generation[], signal: AbortSignal): Promise<void> {
    const names = new Set(listed.map(({ name }) => name));
    for (const { name } of await this.#store.list(signal)) {
      if (this.#isOwnName(name) && !names.has(name)) await this.#store.delete(name, signal);
    }
  }

  /** Reads a snapshot under whichever of its names it is; `take` is told when it begins, and may have to begin anew. */
  async #read(
    generation: Generation,
    { signal, onProgress }: TransferOptions,
    take: (chunk: Uint8Array, isFirst: boolean) => Promise<void>,
  ): Promise<void> {
    const { name, size, sha256 } = generation;
    let problem: string | undefined;
    // A writer may give it its own name between the first two looks.
    for (const candidate of [name, this.#latest, name]) {
      const object = await this.#store.get(candidate, signal);
      if (object === undefined) continue;
      problem = `${size} bytes are listed, it has ${object.size}`;
      if (object.size !== size) continue;
      const hash = createHash("sha256");
      let isFirst = true;
      for await (const chunk of hashed(object.content, hash, size, onProgress)) {
        await take(chunk, isFirst);
        isFirst = false;
      }
      if (sha256 === undefined || hash.digest("hex") === sha256) return;
      problem = "its SHA-256 is not the one that is listed";
    }
    throw problem === undefined
      ? missing(generation, this.#store)
      : damaged(generation, this.#store, problem);
  }

  async #readManifest(signal: AbortSignal): Promise<Generation[] | undefined> {
    const object = await this.#store.get(this.#manifest, signal);
    if (object === undefined) return undefined;
    const place = `"${this.#manifest}" in ${this.#store.description}`;
    if (object.size > MAX_MANIFEST_BYTES) return parseManifest("", place);
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of object.content) text += decoder.decode(chunk, { stream: true });
    return parseManifest(text, place);
  }

  /** A `snapshot.db` without a manifest: put there by hand, or by the Go original. */
  #unlisted(objects: readonly StoredObject[]): Generation[] {
    const latest = objects.find(({ name }) => name === this.#latest);
    if (latest === undefined) return [];
    const { size, modifiedMs: timeMs } = latest;
    const unknown = { sha256: undefined, node: undefined, schema: undefined, positions: [] };
    return [{ ...unknown, name: this.#freeName(timeMs, objects), size, timeMs }];
  }

  #freeName(timeMs: number, taken: readonly { readonly name: string }[]): string {
    const stamp = new Date(timeMs).toISOString().replaceAll(/[-:]|\.\d+/g, "");
    const name = `${this.#prefix}snapshot-${stamp}.db`;
    return taken.some((each) => each.name === name) ? this.#freeName(timeMs + 1000, taken) : name;
  }

  #isOwnName(name: string): boolean {
    return name.startsWith(this.#prefix) &&
      /^snapshot-\d{8}T\d{6}Z\.db$/.test(name.slice(this.#prefix.length));
  }
}

/** Passes content on, and adds it to a hash. */
async function* hashed(
  content: AsyncIterable<Uint8Array>,
  hash: Hash,
  total: number,
  onProgress: TransferOptions["onProgress"],
): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const chunk of content) {
    hash.update(chunk);
    yield chunk;
    done += chunk.length;
    onProgress?.({ done, total });
  }
}

async function* readAll(file: Deno.FsFile): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(READ_BYTES);
  for (let length = await file.read(buffer); length !== null; length = await file.read(buffer)) {
    yield buffer.subarray(0, length);
  }
}

/** A node that restores from the newest reads on from its positions, and these may be all that is kept of the streams. */
function requireNoneFurther(known: readonly Generation[], { positions }: SnapshotFacts): void {
  const newest = known.find((generation) => generation.positions.length > 0);
  for (const there of newest?.positions ?? []) {
    const here = reached(positions, there);
    if (here >= there.sequence) continue;
    throw new SnapshotError(
      "SNAPSHOT_BEHIND",
      `Cannot keep this snapshot: it is at message ${here} of stream "${there.stream}", and the newest one at ${there.sequence}`,
      {
        hint:
          "Take one on a node that has read all streams. If the stream is gone for good, remove snapshot.json.",
      },
    );
  }
}

/** How far these are in a stream: without end in one that another stream has replaced since. */
function reached(positions: readonly Position[], { stream, shard, created }: Position): number {
  const ofShard = positions.filter((position) => position.shard === shard);
  if (ofShard.some((position) => sortable(position.created) > sortable(created))) return Infinity;
  return ofShard.find((position) => position.stream === stream && position.created === created)?.sequence ??
    0;
}

/** `2026-11-21T15:54:03.5Z`: the server leaves out zeros at the end. */
function sortable(created: string): string {
  const [seconds, fraction = ""] = created.replace("Z", "").split(".");
  return `${seconds}.${fraction.padEnd(9, "0")}`;
}

function missing({ name }: Generation, { description }: SnapshotStore): SnapshotError {
  return new SnapshotError(
    "SNAPSHOT_MISSING",
    `${describeAction("get", name, description)}: it is listed, but not there`,
    {
      hint: "Somebody has removed it: use another snapshot, or take a new one.",
    },
  );
}

function damaged({ name }: Generation, { description }: SnapshotStore, problem: string): SnapshotError {
  return new SnapshotError("SNAPSHOT_DAMAGED", `${describeAction("get", name, description)}: ${problem}`, {
    hint: "It was altered in the store: use another snapshot, or take a new one.",
  });
}

function unwritable(path: string, cause: unknown): SnapshotError {
  return new SnapshotError("COPY_UNWRITABLE", `Cannot write "${path}": ${messageOf(cause)}`, {
    cause,
    hint: "Check that its folder exists, has room, and that this user may write there.",
  });
}
