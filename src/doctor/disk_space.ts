import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { bytesText } from "../lib/quantities.ts";
import { type Check, fail, ok, skipped, warn } from "./check.ts";
import type { Patient } from "./patient.ts";

/** Below this nothing works for long. */
const MIN_FREE_BYTES = 32 << 20;
/** Room for change logs, WAL and streams, besides a copy of the database, which a snapshot makes. */
const SPARE_BYTES = 128 << 20;

/** Whether there is room on the disks that a node writes to. */
export const diskSpace: Check = {
  name: "disk_space",
  run: async (patient) => {
    const database = sizeOf(patient.dbPath) + sizeOf(`${patient.dbPath}-wal`);
    const disks = await Promise.all(
      foldersOf(patient).map(async (folder) => ({ folder, ...await freeOf(folder) })),
    );
    if (disks.length === 0) return skipped("none of the folders is there");
    const lines = disks.map(({ folder, free }) => `${folder}: ${bytesText(free)} free`);
    const full = disks.find(({ free, files }) => free < MIN_FREE_BYTES || files === 0);
    if (full) {
      const text = full.files === 0 ? "no file can be made" : `${bytesText(full.free)} free`;
      return fail(`The disk of ${full.folder} is full: ${text}`, "Free some space: df -h, du -sh.", {
        details: lines,
      });
    }
    const wanted = database + SPARE_BYTES;
    const tight = disks.find(({ free }) => free < wanted);
    if (tight) {
      return warn(
        `${bytesText(tight.free)} free at ${tight.folder}, and the database has ${bytesText(database)}`,
        "Free some space: a snapshot takes a copy of the database for a while.",
        { details: lines },
      );
    }
    return ok(
      `${bytesText(Math.min(...disks.map(({ free }) => free)))} free, the database has ${
        bytesText(database)
      }`,
      lines,
    );
  },
};

/** One folder for each disk. */
function foldersOf({ config, dbPath }: Patient): string[] {
  const { seqMapPath, logging, snapshot } = config;
  const all = [
    dirname(dbPath),
    dirname(seqMapPath),
    ...logging.file === "" ? [] : [dirname(logging.file)],
    ...snapshot.enabled && snapshot.store === "file" ? [snapshot.file.path] : [],
  ];
  const byDisk = new Map<number, string>();
  for (const folder of all) {
    const disk = statOf(folder)?.dev;
    if (disk !== undefined && !byDisk.has(disk)) byDisk.set(disk, folder);
  }
  return [...byDisk.values()];
}

async function freeOf(folder: string): Promise<{ free: number; files: number }> {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  // Some file systems count no files.
  return { free: bavail * bsize, files: files === 0 ? 1 : ffree };
}

function sizeOf(path: string): number {
  return statOf(path)?.size ?? 0;
}

function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined; // Other checks tell what is not there.
  }
}
