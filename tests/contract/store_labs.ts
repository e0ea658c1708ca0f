import { startFileLab } from "./file_store_lab.ts";
import { startNatsLab } from "./nats_store_lab.ts";
import { startS3Lab } from "./s3_store_lab.ts";
import { startSftpLab } from "./sftp_store_lab.ts";
import type { StoreLab } from "./snapshot_store_lab.ts";
import { startWebdavLab } from "./webdav_store_lab.ts";

/** Every kind of store, by what `snapshot.store` calls it. */
export const STORE_LABS: Readonly<Record<string, () => Promise<StoreLab>>> = {
  file: startFileLab,
  nats: startNatsLab,
  s3: startS3Lab,
  webdav: startWebdavLab,
  sftp: startSftpLab,
};
