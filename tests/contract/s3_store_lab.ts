import { ListMultipartUploadsCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { mountSmallDisk } from "../support/small_disk.ts";
import { runProgram } from "../support/process.ts";
import { findMinio } from "../support/server_programs.ts";
import { type LoopbackServer, startLoopbackServer } from "../support/loopback_server.ts";
import { makeTempDir } from "../support/temp.ts";
import { SMALL_BYTES, type StoreLab, strangers } from "./snapshot_store_lab.ts";

const BUCKET = "snapshots";
const ACCESS_KEY = "minio-keeper";
const SECRET = "minio-passw0rd";

/** MinIO wants some room for itself. */
const MINIO_BYTES = 4 << 20;

async function startMinio(dir: string): Promise<LoopbackServer> {
  // MinIO takes the folders of its own for buckets.
  await Deno.mkdir(`${dir}/${BUCKET}`, { recursive: true });
  return await startLoopbackServer({
    name: "minio",
    command: await findMinio(),
    args: (port) => ["server", "--quiet", "--address", `127.0.0.1:${port}`, dir],
    env: {
      MINIO_ROOT_USER: ACCESS_KEY,
      MINIO_ROOT_PASSWORD: SECRET,
      MINIO_BROWSER: "off",
      MINIO_UPDATE: "off",
    },
    isReady: async (port) => {
      const answer = await fetch(`http://127.0.0.1:${port}/minio/health/ready`);
      await answer.body?.cancel();
      return answer.ok;
    },
  });
}

function tomlOf(port: number, folder: string, secret = SECRET): string {
  return `
    [snapshot]
    store = "s3"
    [snapshot.s3]
    endpoint = "127.0.0.1:${port}"
    bucket = "${BUCKET}"
    path = "clusters/${folder}"
    access_key = "${ACCESS_KEY}"
    secret = "${secret}"`;
}

/** MinIO; a folder is a prefix in a bucket. */
export async function startS3Lab(): Promise<StoreLab> {
  await using starting = new AsyncDisposableStack();
  const temp = starting.use(await makeTempDir());
  const { port } = starting.use(await startMinio(temp.path));
  const client = starting.adopt(
    new S3Client({
      endpoint: `http://127.0.0.1:${port}`,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET },
    }),
    (made) => made.destroy(),
  );
  const stack = starting.move();
  const version = (await runProgram(await findMinio(), ["--version"])).split("\n")[0];
  return {
    adapter: `S3Store, ${version}`,
    port,
    secrets: [ACCESS_KEY, SECRET],
    toml: (folder, access = {}) =>
      tomlOf(access.port ?? port, folder, access.wrongSecret ? "wr0ngsecret" : undefined),
    leftovers: async (folder, objects) => {
      const prefix = `clusters/${folder}/`;
      const { Contents = [] } = await client.send(
        new ListObjectsV2Command({ Bucket: BUCKET, Prefix: prefix }),
      );
      const unfinished = await Promise.all(["snapshot.db", ...objects].map(async (name) => {
        const request = { Bucket: BUCKET, Prefix: `${prefix}${name}` };
        return (await client.send(new ListMultipartUploadsCommand(request))).Uploads ?? [];
      }));
      const names = Contents.map(({ Key = "" }) => Key.slice(prefix.length));
      return [...strangers(names, objects), ...unfinished.flat().map(({ UploadId }) => `upload ${UploadId}`)];
    },
    damage: async (folder, name) => {
      const object = temp.file(`${BUCKET}/clusters/${folder}/${name}`);
      for (const { name: inner, isDirectory } of Deno.readDirSync(object)) {
        if (!isDirectory) continue;
        for (const part of Deno.readDirSync(`${object}/${inner}`)) {
          await Deno.truncate(`${object}/${inner}/${part.name}`, 1_000_000);
        }
      }
    },
    fullCodes: ["STORE_FULL"],
    startSmall: async () => {
      const disk = await mountSmallDisk(SMALL_BYTES + MINIO_BYTES);
      if (disk === undefined) return undefined;
      stack.use(disk);
      return tomlOf(stack.use(await startMinio(disk.path)).port, "small");
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
