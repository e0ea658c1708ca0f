import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { FetchHttpHandler } from "@smithy/fetch-http-handler";
import { endpointUrl, regionOf } from "./s3_address.ts";
import { judgeS3, statusOf } from "./s3_errors.ts";
import {
  describeAction,
  isObjectName,
  type ObjectContent,
  type PutOptions,
  type SnapshotStore,
  sortedByName,
  type StoredObject,
} from "./store.ts";
import { notFound } from "./store_error.ts";
import { PieceCutter, readBody, STORE_LIMITS, type StoreLimits, Transfer } from "./transfer.ts";

const MIB = 1 << 20;
/** S3 takes no smaller parts, but for the last one. */
const PART_BYTES = 5 * MIB;
/** S3 takes 10,000; larger objects get larger parts. */
const MAX_PARTS = 9_000;
const PARTS_IN_FLIGHT = 2;
/** S3 copies no more in one request. */
const MAX_COPY_BYTES = 5 * 1024 * MIB;
const COPY_PART_BYTES = 1024 * MIB;
/** A put that has failed may take so long to remove what it has sent. */
const TIDYING_MS = 5_000;

export interface S3StoreSettings {
  /** Host and port; a scheme before it counts more than `useSsl`. */
  readonly endpoint: string;
  readonly bucket: string;
  /** Folder in the bucket. */
  readonly path: string;
  /** Empty: what the endpoint says, else us-east-1, which MinIO takes. */
  readonly region: string;
  readonly useSsl: boolean;
  readonly pathStyle: boolean;
  /** Empty: as the AWS tools find them, in the environment or from the machine. */
  readonly accessKey: string;
  readonly secret: string;
  readonly sessionToken: string;
  /** Larger objects are copied in parts of this. Smaller in tests, which have no 5 GB. */
  readonly copyPartBytes?: number;
}

interface Place {
  readonly Bucket: string;
  readonly Key: string;
}

/** Snapshots as objects of a bucket, which must exist. S3 shows an object only when it is complete. */
export class S3Store implements SnapshotStore {
  readonly description: string;
  readonly #settings: S3StoreSettings;
  readonly #limits: StoreLimits;
  readonly #client: S3Client;
  /** The other one, on Node's HTTP, needs 300 MB to read what this one reads with 20, and sends with 30 what this one sends with 150. */
  readonly #reader: S3Client;
  readonly #prefix: string;

  constructor(settings: S3StoreSettings, limits: StoreLimits = STORE_LIMITS) {
    const { bucket, path } = settings;
    const clientConfig = makeClientConfig(settings);
    this.#settings = settings;
    this.#limits = limits;
    this.#client = new S3Client(clientConfig);
    this.#reader = new S3Client({ ...clientConfig, requestHandler: new FetchHttpHandler() });
    const folder = path.replaceAll(/^\/+|\/+$/g, "");
    this.#prefix = folder === "" ? "" : `${folder}/`;
    this.description = `S3 bucket "${bucket}", folder "/${folder}" at ${new URL(endpointUrl(settings)).host}`;
  }

  async put(name: string, content: AsyncIterable<Uint8Array>, { size, signal }: PutOptions): Promise<void> {
    using transfer = this.#transfer("put", name, signal);
    await transfer.run(async () => {
      await this.#abortUploads(name, transfer.signal);
      const cutter = new PieceCutter(Math.max(PART_BYTES, Math.ceil(size / MAX_PARTS)));
      const pieces = cutter.cut(transfer.outgoing(content, size));
      if (size <= PART_BYTES) await this.#putWhole(name, pieces, transfer);
      else await this.#putInParts(name, pieces, cutter, transfer);
    });
  }

  async get(name: string, signal: AbortSignal): Promise<ObjectContent | undefined> {
    using transfer = this.#transfer("get", name, signal);
    const answer = await transfer.run(() =>
      this.#reader.send(new GetObjectCommand(this.#place(name)), { abortSignal: transfer.signal })
        .catch(unlessAbsent)
    );
    if (answer === undefined) return undefined;
    const size = answer.ContentLength ?? 0;
    const body = answer.Body as unknown as ReadableStream<Uint8Array>; // What this handler gives.
    return { size, content: transfer.incoming(readBody(body), size) };
  }

  async list(signal: AbortSignal): Promise<StoredObject[]> {
    using transfer = this.#transfer("list", undefined, signal);
    return await transfer.run(async () => {
      const objects: StoredObject[] = [];
      const request = { Bucket: this.#settings.bucket, Prefix: this.#prefix, Delimiter: "/" };
      const pages = paginateListObjectsV2({ client: this.#client }, request, {
        abortSignal: transfer.signal,
      });
      for await (const { Contents = [] } of pages) {
        for (const { Key = "", Size = 0, LastModified } of Contents) {
          const name = Key.slice(this.#prefix.length);
          if (isObjectName(name)) {
            objects.push({ name, size: Size, modifiedMs: LastModified?.getTime() ?? 0 });
          }
        }
      }
      return sortedByName(objects);
    });
  }

  async rename(from: string, to: string, signal: AbortSignal): Promise<void> {
    using transfer = this.#transfer("rename", from, signal);
    await transfer.run(async () => {
      const size = await this.#sizeOf(from, transfer.signal);
      if (size === undefined) throw notFound(transfer.action);
      transfer.expect(this.#limits.finishMs);
      await this.#copy(from, to, size, transfer);
      await this.#client.send(new DeleteObjectCommand(this.#place(from)), { abortSignal: transfer.signal });
    });
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    using transfer = this.#transfer("delete", name, signal);
    await transfer.run(async () => {
      await this.#client.send(new DeleteObjectCommand(this.#place(name)), { abortSignal: transfer.signal });
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#client.destroy();
    this.#reader.destroy();
    return Promise.resolve();
  }

  #transfer(verb: string, name: string | undefined, signal: AbortSignal): Transfer {
    const action = describeAction(verb, name, this.description);
    return new Transfer({ action, judge: judgeS3, limits: this.#limits, signal });
  }

  #place(name: string): Place {
    return { Bucket: this.#settings.bucket, Key: `${this.#prefix}${name}` };
  }

  /** Through the list, as S3 does not say of a single object whether it or the bucket is absent. */
  async #sizeOf(name: string, abortSignal: AbortSignal): Promise<number | undefined> {
    const { Bucket, Key } = this.#place(name);
    const command = new ListObjectsV2Command({ Bucket, Prefix: Key, MaxKeys: 1 });
    const { Contents = [] } = await this.#client.send(command, { abortSignal });
    return Contents.find((found) => found.Key === Key)?.Size;
  }

  async #putWhole(name: string, pieces: AsyncIterable<Uint8Array>, { signal }: Transfer): Promise<void> {
    let Body = new Uint8Array();
    for await (const piece of pieces) Body = Uint8Array.from(piece);
    await this.#client.send(new PutObjectCommand({ ...this.#place(name), Body }), { abortSignal: signal });
  }

  async #putInParts(
    name: string,
    pieces: AsyncIterable<Uint8Array>,
    cutter: PieceCutter,
    transfer: Transfer,
  ): Promise<void> {
    const send = async (upload: Upload, PartNumber: number, Body: Uint8Array): Promise<CompletedPart> => {
      const command = new UploadPartCommand({ ...upload, PartNumber, Body });
      const { ETag } = await this.#client.send(command, { abortSignal: transfer.signal });
      cutter.giveBack(Body);
      return { PartNumber, ETag };
    };
    await this.#assemble(name, transfer, async function* (upload): Parts {
      let partNumber = 0;
      for await (const piece of pieces) {
        const number = ++partNumber;
        transfer.expectBytes(PARTS_IN_FLIGHT * piece.length);
        yield () => send(upload, number, piece);
      }
    });
  }

  async #copy(from: string, to: string, size: number, transfer: Transfer): Promise<void> {
    const { Bucket, Key } = this.#place(from);
    const CopySource = `${Bucket}/${Key.split("/").map(encodeURIComponent).join("/")}`;
    const partBytes = this.#settings.copyPartBytes ?? COPY_PART_BYTES;
    const options = { abortSignal: transfer.signal };
    if (size <= (this.#settings.copyPartBytes ?? MAX_COPY_BYTES)) {
      await this.#client.send(new CopyObjectCommand({ ...this.#place(to), CopySource }), options);
      return;
    }
    const send = async (
      upload: Upload,
      PartNumber: number,
      CopySourceRange: string,
    ): Promise<CompletedPart> => {
      const command = new UploadPartCopyCommand({ ...upload, CopySource, PartNumber, CopySourceRange });
      const { CopyPartResult } = await this.#client.send(command, options);
      return { PartNumber, ETag: CopyPartResult?.ETag };
    };
    const limits = this.#limits;
    await this.#assemble(to, transfer, async function* (upload): Parts {
      for (let start = 0, partNumber = 1; start < size; start += partBytes, partNumber++) {
        const number = partNumber;
        transfer.expect(limits.finishMs);
        yield () => send(upload, number, `bytes=${start}-${Math.min(start + partBytes, size) - 1}`);
      }
    });
  }

  /** Puts an object together from parts, which are started one after the other, a few at a time. */
  async #assemble(
    name: string,
    transfer: Transfer,
    makeParts: (upload: Upload) => Parts,
  ): Promise<void> {
    const options = { abortSignal: transfer.signal };
    const { UploadId } = await this.#client.send(
      new CreateMultipartUploadCommand(this.#place(name)),
      options,
    );
    const upload = { ...this.#place(name), UploadId };
    try {
      const Parts = await inOrder(makeParts(upload), PARTS_IN_FLIGHT);
      transfer.expect(this.#limits.finishMs);
      await this.#client.send(
        new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }),
        options,
      );
    } catch (error) {
      const tidying = { abortSignal: AbortSignal.timeout(TIDYING_MS) };
      // When this fails too, the next put of the name does it.
      await this.#client.send(new AbortMultipartUploadCommand(upload), tidying).catch(() => undefined);
      throw error;
    }
  }

  /** What puts of this name that were killed have sent: it is not shown, but takes room. */
  async #abortUploads(name: string, abortSignal: AbortSignal): Promise<void> {
    const { Bucket, Key } = this.#place(name);
    const command = new ListMultipartUploadsCommand({ Bucket, Prefix: Key });
    const answer = await this.#client.send(command, { abortSignal }).catch((error) => {
      // Not every service has this, nor every user the right to it; then the bucket's own rules have to remove them.
      if ([400, 403, 404, 405, 501].includes(statusOf(error)) && error.name !== "NoSuchBucket") {
        return undefined;
      }
      throw error;
    });
    for (const { Key: key, UploadId } of answer?.Uploads ?? []) {
      if (key !== Key) continue;
      await this.#client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), { abortSignal })
        .catch(unlessAbsent);
    }
  }
}

/** Each call sends one. */
type Parts = AsyncGenerator<() => Promise<CompletedPart>>;
type Upload = Place & { readonly UploadId: string | undefined };

/** Runs tasks, some at a time; the results are in the order of the tasks. When it rejects, none runs any more. */
async function inOrder<T>(tasks: AsyncIterable<() => Promise<T>>, atATime: number): Promise<T[]> {
  const all: Promise<T>[] = [];
  try {
    for await (const start of tasks) {
      const task = start();
      task.catch(() => undefined); // Heard of when it is waited for.
      all.push(task);
      await all.at(-atATime);
    }
    return await Promise.all(all);
  } catch (error) {
    await Promise.allSettled(all);
    throw error;
  }
}

function makeClientConfig(settings: S3StoreSettings): S3ClientConfig {
  const { accessKey, secret, sessionToken, pathStyle } = settings;
  return {
    endpoint: endpointUrl(settings),
    region: settings.region || regionOf(settings.endpoint),
    forcePathStyle: pathStyle,
    // Other services than AWS do not know the newer checksums.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    ...accessKey === "" ? {} : {
      credentials: {
        accessKeyId: accessKey,
        secretAccessKey: secret,
        ...sessionToken && { sessionToken },
      },
    },
  };
}

function unlessAbsent(error: unknown): undefined {
  const { name } = error as Error;
  if (name === "NoSuchBucket" || statusOf(error) !== 404) throw error;
}
