import { createHash } from "node:crypto";
import type { PubAck, StreamConfig } from "@nats-io/jetstream";
import { ConnectionError, headers, type MsgHdrs, type NatsConnection, nuid } from "@nats-io/transport-node";
import { StreamError, WireError } from "../lib/errors.ts";
import { ChunkQueue } from "./chunk_queue.ts";
import { JetStreamApi, parseAnswer, type StoredMessage } from "./jetstream_api.ts";
import { Link } from "./link.ts";
import { PULL_BYTES, PullSession } from "./pull_session.ts";
import { Requests } from "./requests.ts";
import { API_ERROR, isApiError } from "./transience.ts";

/** As the NATS clients cut objects; what replication sends meanwhile waits for one chunk at most. */
const CHUNK_BYTES = 128 << 10;
/** Chunks on their way: enough for 20 MB/s over 50 ms, and few enough to leave a slow line within the time limit. */
const CHUNKS_IN_FLIGHT = 8;
const ANSWER_TIMEOUT_MS = 30_000;
/** A put that has failed may take so long to remove what it has sent. */
const TIDYING_MS = 3_000;
/** Room for subject and headers beside a chunk. */
const OVERHEAD_BYTES = 4096;
const DEFAULT_MAX_PAYLOAD = 1 << 20;

/** Chunks that belong to no object, and are older than the newest message by this, were left by a put that was killed. */
const LEFTOVER_AGE_MS = 900_000;

/** A record as all NATS clients write it: one message for each object. */
interface ObjectRecord {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly chunks: number;
  /** Last part of the subject of its chunks. */
  readonly nuid: string;
  /** `SHA-256=` and the hash in URL-safe base64. */
  readonly digest: string;
  readonly bucket: string;
  readonly mtime: string;
  readonly deleted?: boolean;
  readonly options?: { readonly link?: unknown; readonly max_chunk_size?: number };
}

/** An object of a bucket. */
export interface BucketObject extends Omit<ObjectRecord, "bucket" | "mtime" | "deleted"> {
  /** When its record was stored, in Unix milliseconds by the server's clock. */
  readonly timeMs: number;
}

/**
 * An object bucket of JetStream: a stream `OBJ_<bucket>` with the chunks of each object on one subject and its record
 * on another, as every NATS client makes and reads it. Errors are those of the client library, and a WireError for an
 * object that is not what its record says. The connection stays its caller's.
 *
 * The client library (`@nats-io/obj`) reads an object as fast as the server sends it, however slowly it is consumed (2 GB in
 * memory), cannot be interrupted, waits for each chunk before it sends the next, and cannot put a renamed object in the place
 * of another. And it forgets the chunks of a put that was killed: here the subject of chunks tells for which name they were
 * sent, so that the next put removes them.
 */
export class ObjectBucket implements Disposable {
  readonly #connection: NatsConnection;
  readonly #bucket: string;
  readonly #replicas: number;
  readonly #stream: string;
  readonly #link: Link;
  readonly #requests: Requests;
  readonly #api: JetStreamApi;

  /** `replicas` counts for a bucket that has to be created. */
  constructor(connection: NatsConnection, bucket: string, replicas: number) {
    this.#connection = connection;
    this.#bucket = bucket;
    this.#replicas = replicas;
    this.#stream = `OBJ_${bucket}`;
    this.#link = new Link(connection);
    this.#requests = new Requests(connection, this.#link, ANSWER_TIMEOUT_MS);
    this.#api = new JetStreamApi(this.#requests);
  }

  /** The largest chunk, in bytes. */
  get chunkBytes(): number {
    const maxPayload = this.#connection.info?.max_payload ?? DEFAULT_MAX_PAYLOAD;
    return Math.min(CHUNK_BYTES, maxPayload - OVERHEAD_BYTES);
  }

  /**
   * Creates the bucket if it is missing. What had the name is replaced at the end, in one step. `onStored` is told of
   * each chunk that is not needed any more.
   */
  async put(
    name: string,
    chunks: AsyncIterable<Uint8Array>,
    options: { onStored: (chunk: Uint8Array) => void; signal: AbortSignal },
  ): Promise<void> {
    await this.#ensureBucket(options.signal);
    await this.#removeLeftovers(name, options.signal);
    const id = `${ownerMark(name)}${nuid.next()}`;
    const sent = await this.#send(id, chunks, options);
    await this.#record(
      { name, nuid: id, ...sent, options: { max_chunk_size: this.chunkBytes } },
      options.signal,
    );
  }

  async find(name: string, signal: AbortSignal): Promise<BucketObject | undefined> {
    const message = await this.#api.lastMessage(this.#stream, this.#recordSubject(name), signal).catch(
      unlessAbsent,
    );
    return message === undefined ? undefined : readRecord(message);
  }

  /** In the order of chunks; ends after the last, or throws. No more than a pull is held. */
  async *read(object: BucketObject, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const found = await this.#countChunks(object.nuid, signal);
    if (found !== object.chunks) {
      throw new WireError(`${found} of its ${object.chunks} chunks are in the bucket`);
    }
    if (found === 0) return;
    const hash = createHash("sha256");
    let chunks = 0;
    for await (const data of this.#consume(this.#chunkSubject(object.nuid), signal)) {
      hash.update(data);
      yield data;
      if (++chunks === object.chunks) break;
    }
    if (digestOf(hash.digest()) !== object.digest) {
      throw new WireError("its content does not have the checksum that it was stored with");
    }
  }

  async list(signal: AbortSignal): Promise<BucketObject[]> {
    return await this.#readRecords(signal);
  }

  /** Takes the place of `to`; chunks stay where they are. False when there is no `from`. */
  async rename(from: string, to: string, signal: AbortSignal): Promise<boolean> {
    const object = await this.find(from, signal);
    if (object === undefined) return false;
    // A crash between the two leaves one set of chunks with two names: #removeChunks looks for both.
    await this.#record({ ...object, name: to }, signal);
    await this.#api.purge(this.#stream, this.#recordSubject(from), signal);
    return true;
  }

  async remove(name: string, signal: AbortSignal): Promise<void> {
    const object = await this.find(name, signal);
    if (object === undefined) return;
    await this.#api.purge(this.#stream, this.#recordSubject(name), signal);
    await this.#removeChunks(object.nuid, signal);
  }

  [Symbol.dispose](): void {
    this.#requests[Symbol.dispose]();
    this.#link[Symbol.dispose]();
  }

  async #ensureBucket(signal: AbortSignal): Promise<void> {
    const found = await this.#api.streamInfo(this.#stream, signal).catch(unlessAbsent);
    if (found === undefined) await this.#api.createStream(this.#config(), signal);
  }

  /** All chunks of one object; they are removed when that fails. */
  async #send(
    id: string,
    content: AsyncIterable<Uint8Array>,
    { onStored, signal }: { onStored: (chunk: Uint8Array) => void; signal: AbortSignal },
  ): Promise<Pick<BucketObject, "size" | "chunks" | "digest">> {
    const hash = createHash("sha256");
    const inFlight: Promise<unknown>[] = [];
    let [size, chunks] = [0, 0];
    try {
      for await (const chunk of content) {
        hash.update(chunk);
        size += chunk.length;
        chunks++;
        const published = this.#publish(this.#chunkSubject(id), chunk, signal).then(() => onStored(chunk));
        published.catch(() => undefined); // Heard of below, unless an earlier one fails before.
        inFlight.push(published);
        if (inFlight.length >= CHUNKS_IN_FLIGHT) await inFlight.shift();
      }
      await Promise.all(inFlight);
      // Another node that put the same name meanwhile took them for leftovers.
      if (await this.#countChunks(id, signal) !== chunks) {
        throw new StreamError("OVERTAKEN", "another node has put it meanwhile", { transient: true });
      }
      return { size, chunks, digest: digestOf(hash.digest()) };
    } catch (error) {
      await Promise.allSettled(inFlight); // What arrives after the purge would stay.
      const tidying = AbortSignal.timeout(TIDYING_MS);
      // When this fails too, the next put of the name does it.
      await this.#api.purge(this.#stream, this.#chunkSubject(id), tidying).catch(() => undefined);
      throw error;
    }
  }

  /** Makes a record the only one of its name, then removes the chunks of the one that it replaces. */
  async #record(object: Omit<BucketObject, "timeMs">, signal: AbortSignal): Promise<void> {
    const replaced = await this.find(object.name, signal);
    const { name, size, chunks, nuid, digest, options } = object;
    const record: ObjectRecord = {
      ...{ name, ...options && { options }, bucket: this.#bucket, nuid, size },
      ...{ mtime: new Date().toISOString(), chunks, digest },
    };
    const rollUp = headers();
    rollUp.set("Nats-Rollup", "sub");
    const bytes = new TextEncoder().encode(JSON.stringify(record));
    await this.#publish(this.#recordSubject(name), bytes, signal, rollUp);
    if (replaced !== undefined && replaced.nuid !== nuid) await this.#removeChunks(replaced.nuid, signal);
  }

  /** Unless another record stands for them, which a crash within a rename leaves behind. */
  async #removeChunks(id: string, signal: AbortSignal): Promise<void> {
    const used = (await this.#readRecords(signal)).some(({ nuid }) => nuid === id);
    if (!used) await this.#api.purge(this.#stream, this.#chunkSubject(id), signal);
  }

  /** What puts of this name that were killed have sent, and what others left long ago. */
  async #removeLeftovers(name: string, signal: AbortSignal): Promise<void> {
    const { state } = await this.#api.streamInfo(this.#stream, signal, this.#chunkSubject("*"));
    const newestMs = Date.parse(state.last_ts);
    const used = new Set((await this.#readRecords(signal)).map(({ nuid }) => this.#chunkSubject(nuid)));
    const own = this.#chunkSubject(ownerMark(name));
    for (const subject of Object.keys(state.subjects ?? {})) {
      if (used.has(subject)) continue;
      const last = await this.#api.lastMessage(this.#stream, subject, signal).catch(unlessAbsent);
      const isOld = last !== undefined && last.timeMs < newestMs - LEFTOVER_AGE_MS;
      if (subject.startsWith(own) || isOld) await this.#api.purge(this.#stream, subject, signal);
    }
  }

  async #countChunks(id: string, signal: AbortSignal): Promise<number> {
    const subject = this.#chunkSubject(id);
    const { state } = await this.#api.streamInfo(this.#stream, signal, subject);
    return state.subjects?.[subject] ?? 0;
  }

  async #readRecords(signal: AbortSignal): Promise<BucketObject[]> {
    for (;;) {
      const info = await this.#api.streamInfo(this.#stream, signal, this.#recordSubject("*")).catch(
        unlessAbsent,
      );
      const subjects = Object.keys(info?.state.subjects ?? {});
      const messages = [];
      for (const subject of subjects) {
        messages.push(await this.#api.lastMessage(this.#stream, subject, signal).catch(unlessAbsent));
      }
      // One that is gone now was renamed, maybe to a name that was not in the list: look again.
      if (messages.includes(undefined)) continue;
      return messages.flatMap((message) => message === undefined ? [] : readRecord(message) ?? []);
    }
  }

  /** One subject, message by message; waits for as long as the server has nothing to send. */
  async *#consume(subject: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const queue = new ChunkQueue(() => session.pull());
    using session = await PullSession.open(this.#connection, this.#api, {
      ...{ stream: this.#stream, subject, from: 1, signal },
      owner: {
        deliver: (_delivery, message) => {
          queue.push(message.data);
          return true;
        },
        hasRoom: () => queue.bytes <= PULL_BYTES / 2,
      },
    });
    const onAbort = (): void => session.lose(signal.reason);
    const ignoreLink = this.#link.listen({ disconnected: () => session.lose() });
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted || !this.#link.up) session.lose();
    void session.lost.then((reason) => queue.fail(reason ?? new ConnectionError("connection lost")));
    try {
      yield* queue;
    } finally {
      ignoreLink();
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #publish(subject: string, data: Uint8Array, signal: AbortSignal, headers?: MsgHdrs): Promise<void> {
    const answer = await this.#requests.request(subject, data, { signal, ...headers && { headers } });
    parseAnswer<PubAck>(answer.string());
  }

  #chunkSubject(id: string): string {
    return `$O.${this.#bucket}.C.${id}`;
  }

  /** `*`: of all records. */
  #recordSubject(name: string): string {
    return `$O.${this.#bucket}.M.${name === "*" ? name : urlSafe(new TextEncoder().encode(name))}`;
  }

  #config(): Partial<StreamConfig> & { name: string } {
    return {
      name: this.#stream,
      subjects: [this.#chunkSubject(">"), `$O.${this.#bucket}.M.>`],
      retention: "limits",
      discard: "new",
      storage: "file",
      max_msgs: -1,
      max_msgs_per_subject: -1,
      max_msg_size: -1,
      max_bytes: -1,
      max_age: 0,
      max_consumers: -1,
      num_replicas: this.#replicas,
      allow_rollup_hdrs: true,
      allow_direct: true,
    };
  }
}

/** Undefined when it stands for a removed object, or points to another one, which we never make. */
function readRecord({ data, timeMs }: StoredMessage): BucketObject | undefined {
  const record = JSON.parse(new TextDecoder().decode(data)) as ObjectRecord;
  if (record.deleted === true || record.options?.link !== undefined) return undefined;
  return { ...record, timeMs };
}

/** The beginning of the ids of all objects that were put under this name. */
function ownerMark(name: string): string {
  return createHash("sha256").update(name).digest("hex").slice(0, 12);
}

function digestOf(hash: Uint8Array): string {
  return `SHA-256=${urlSafe(hash)}`;
}

function urlSafe(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url" });
}

function unlessAbsent(error: unknown): undefined {
  if (!isApiError(error, API_ERROR.streamNotFound, API_ERROR.messageNotFound)) throw error;
}
