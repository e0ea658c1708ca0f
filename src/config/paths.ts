import { open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf } from "../lib/errors.ts";
import { currentUser, EXECUTE, mayUse, type Ownership, READ, WRITE } from "../lib/file_access.ts";
import { type Config, valueOf } from "./config.ts";
import { ENTRIES, type SchemaEntry } from "./schema.ts";

/** A setting whose path cannot be used, and why. */
export interface PathProblem {
  readonly key: string;
  readonly text: string;
}

/**
 * Looks at the files that the settings name: those that are read must be there and open to us, those that we write
 * need a folder. `db_path` is left to {@link judgeDatabase}. Settings that are not in use are passed over.
 */
export async function findPathProblems(config: Config): Promise<PathProblem[]> {
  const used = ENTRIES.filter((entry) => entry.key !== "db_path" && isUsed(config, entry));
  const texts = await Promise.all(used.map((entry) => judgePath(entry, String(valueOf(config, entry)))));
  return used.flatMap(({ key }, index) => {
    const text = texts[index];
    return text === undefined ? [] : [{ key, text }];
  });
}

/** The first bytes of every SQLite file that is not encrypted. */
const SQLITE_MAGIC = "SQLite format 3\0";

/**
 * What keeps the file from being replicated, or undefined. An empty file is a database without tables. Reads 16 bytes.
 *
 * Not for a process that has the database open: closing any handle of a file drops the locks that SQLite holds on it.
 */
export async function judgeDatabase(path: string): Promise<string | undefined> {
  const wrong = await judgeDatabaseAccess(path);
  if (wrong !== undefined) return wrong;
  const header = await readHeader(path);
  if (header === "" || header === SQLITE_MAGIC) return undefined;
  return `"${path}" is not a SQLite database, or an encrypted one, which cannot be replicated`;
}

/** What keeps this user from working with the file, or undefined. Opens nothing. */
export async function judgeDatabaseAccess(path: string): Promise<string | undefined> {
  return await judgeFile(path, READ | WRITE) ?? await judgeFolder(dirname(path));
}

function isUsed(config: Config, entry: SchemaEntry): boolean {
  if (entry.setting.file === undefined || valueOf(config, entry) === "") return false;
  if (entry.key === "nats.server_config") return config.nats.urls.length === 0;
  if (!entry.section.startsWith("snapshot.")) return true;
  return config.snapshot.enabled && entry.section === `snapshot.${config.snapshot.store}`;
}

async function judgePath({ setting }: SchemaEntry, path: string): Promise<string | undefined> {
  if (setting.file === "must exist") return await judgeFile(path, READ);
  return await judgeFolder(setting.file === "folder" ? path : dirname(path));
}

async function judgeFile(path: string, wanted: number): Promise<string | undefined> {
  try {
    const file = await stat(path);
    if (!file.isFile()) return `"${path}" is not a file`;
    return judgeAccess(path, file, wanted);
  } catch (error) {
    return explain(path, error);
  }
}

/** SQLite makes files of its own beside a database, and we beside ours: it must be open for writing. */
async function judgeFolder(path: string): Promise<string | undefined> {
  try {
    const folder = await stat(path);
    if (!folder.isDirectory()) return `"${path}" is not a folder`;
    return judgeAccess(path, folder, READ | WRITE | EXECUTE);
  } catch (error) {
    return explain(path, error);
  }
}

function judgeAccess(path: string, file: Ownership, wanted: number): string | undefined {
  const user = currentUser();
  return user === undefined || mayUse(file, wanted, user) ? undefined : noAccess(path);
}

function noAccess(path: string): string {
  return `this user has no access to "${path}"`;
}

async function readHeader(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(
      new Uint8Array(SQLITE_MAGIC.length),
      0,
      SQLITE_MAGIC.length,
      0,
    );
    return new TextDecoder("latin1").decode(buffer.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

function explain(path: string, error: unknown): string | undefined {
  if (error instanceof Deno.errors.NotCapable) return undefined; // Locked to the file, not to its folder: writing it says.
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return `there is no "${path}"`;
  if (code === "EACCES" || code === "EPERM") return noAccess(path);
  return `"${path}" cannot be used: ${messageOf(error)}`;
}
