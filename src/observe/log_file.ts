import { ConfigError, messageOf } from "../lib/errors.ts";
import { giveToFolderOwner, renameIfThere } from "../lib/files.ts";

/** How many old log files are kept, as `<path>.1` and so on. */
export const KEPT_LOG_FILES = 3;

export interface LogFileOptions {
  /** The file is put aside when it has grown to this. Default 10 MiB. */
  readonly maxBytes?: number;
  /** How many old files are kept, as `<path>.1` (the newest) and so on. Default {@link KEPT_LOG_FILES}. */
  readonly keep?: number;
}

/** What the program tells may concern the user's data: other users must not read it. */
const OPEN_OPTIONS = { append: true, create: true, mode: 0o600 };

/** A file that lines are appended to, closed to other users, bounded in size. */
export class LogFile implements Disposable {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #keep: number;
  #file: Deno.FsFile;
  #bytes: number;
  #closed = false;

  private constructor(
    path: string,
    file: Deno.FsFile,
    { maxBytes = 10 * 1024 * 1024, keep = KEPT_LOG_FILES }: LogFileOptions,
  ) {
    this.#path = path;
    this.#file = file;
    this.#bytes = file.statSync().size;
    this.#maxBytes = maxBytes;
    this.#keep = keep;
  }

  /** Throws ConfigError when the file cannot be written. */
  static async open(path: string, options: LogFileOptions = {}): Promise<LogFile> {
    try {
      const file = await Deno.open(path, OPEN_OPTIONS);
      giveToFolderOwner(path); // A command that root runs leaves what the node can go on with.
      return new LogFile(path, file, options);
    } catch (error) {
      throw new ConfigError(`Cannot open the log file "${path}": ${messageOf(error)}`, { cause: error });
    }
  }

  /** Throws when the system refuses, as a full disk does. */
  write(bytes: Uint8Array): void {
    if (this.#bytes > 0 && this.#bytes + bytes.length > this.#maxBytes) this.#rotate();
    writeAll(this.#file, bytes);
    this.#bytes += bytes.length;
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.#file.close();
    this.#closed = true;
  }

  #rotate(): void {
    for (let age = this.#keep - 1; age >= 0; age--) {
      const from = age === 0 ? this.#path : `${this.#path}.${age}`;
      renameIfThere(from, `${this.#path}.${age + 1}`);
    }
    const next = Deno.openSync(this.#path, OPEN_OPTIONS);
    giveToFolderOwner(this.#path);
    this.#file.close();
    [this.#file, this.#bytes] = [next, 0];
  }
}

/** Writes all bytes; a system call may take fewer. */
export function writeAll(target: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += target.writeSync(bytes.subarray(done));
}
