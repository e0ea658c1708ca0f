import type { NatsConnection } from "@nats-io/transport-node";
import type { Config } from "../config/config.ts";
import type { SnapshotStore } from "./store.ts";
import { STORE_LIMITS, type StoreLimits } from "./transfer.ts";

/**
 * The store that the configuration names. Each adapter is loaded when it is chosen: the client of S3 alone would make
 * every node twice as large. `connect` is called for the store in NATS alone, and the connection stays its owner's.
 */
export async function openStore(
  config: Config,
  connect: () => NatsConnection | Promise<NatsConnection>,
  limits: StoreLimits = STORE_LIMITS,
): Promise<SnapshotStore> {
  const { snapshot } = config;
  switch (snapshot.store) {
    case "nats": {
      const { NatsStore } = await import("./nats_store.ts");
      const { bucket, replicas } = snapshot.nats;
      const name = bucket || `${config.nats.streamPrefix}-snapshot-store`;
      return new NatsStore({ connection: await connect(), bucket: name, replicas }, limits);
    }
    case "s3": {
      const { S3Store } = await import("./s3_store.ts");
      return new S3Store(snapshot.s3, limits);
    }
    case "webdav": {
      const { WebdavStore } = await import("./webdav_store.ts");
      return new WebdavStore(snapshot.webdav, limits);
    }
    case "sftp": {
      const { SftpStore } = await import("./sftp_store.ts");
      return new SftpStore(snapshot.sftp, limits);
    }
    case "file": {
      const { FileStore } = await import("./file_store.ts");
      return new FileStore(snapshot.file, limits);
    }
  }
}
