import { basename, dirname, join } from "node:path";
import { Database } from "../sqlite/database.ts";
import { sleep } from "../lib/sleep.ts";

/** The files that SQLite writes for a database. */
const SUFFIXES = ["", "-wal", "-shm", "-journal"];
/** How long an event may take to arrive. */
const PROOF_TIMEOUT_MS = 1000;
/** A busy machine may be late with an event, and the list of locks may leave out one while others come and go. */
const PROOF_ATTEMPTS = 3;

/**
 * File events of a database, without touching its files.
 *
 * Deno's watcher opens and closes the file of every event (2.9.6; it compares it with what it watches). POSIX locks belong
 * to a process and a file, so closing it there drops the locks that SQLite holds on it here: another process then takes
 * itself for the last one, removes the write-ahead log below us, and the database is destroyed (seen within seconds).
 *
 * So the folder is watched through a link of our own. What is watched is bound to the folder when watching begins; then the
 * link is turned to a folder of empty files with the same names, and those are what Deno opens. It must be turned before
 * this process opens the database.
 */
export class FileEvents implements Disposable {
  readonly #folder: string;
  readonly #names: ReadonlySet<string>;
  readonly #watcher: Deno.FsWatcher;
  #isOpen = true;

  private constructor(folder: string, names: ReadonlySet<string>, watcher: Deno.FsWatcher) {
    this.#folder = folder;
    this.#names = names;
    this.#watcher = watcher;
  }

  /** Uses a folder beside the database; what a killed process left there is removed. So it wants the process lock. */
  static open(databasePath: string): FileEvents {
    const names = SUFFIXES.map((suffix) => basename(databasePath) + suffix);
    const folder = `${databasePath}-harmonylite.watch`;
    removeFolder(folder);
    Deno.mkdirSync(folder, { mode: 0o700 });
    const [view, next, decoys] = [join(folder, "view"), join(folder, "next"), join(folder, "decoys")];
    Deno.mkdirSync(decoys);
    for (const name of names) Deno.writeTextFileSync(join(decoys, name), "");
    Deno.symlinkSync(dirname(databasePath), view);
    const watcher = Deno.watchFs([view, decoys], { recursive: false });
    Deno.symlinkSync(decoys, next);
    Deno.renameSync(next, view);
    return new FileEvents(folder, new Set(names), watcher);
  }

  /** Yields whenever a file of the database was written, until disposed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<void> {
    for await (const { kind, paths } of this.#watcher) {
      if (kind !== "access" && paths.some((path) => this.#names.has(basename(path)))) yield;
    }
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#watcher.close();
    removeFolder(this.#folder);
  }
}

function removeFolder(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/**
 * Whether this runtime leaves SQLite's locks alone when it watches this way: tried on a database made for it. Only Linux
 * tells which locks a process holds; where nothing can be proved the answer is no.
 */
export async function provesHarmless(): Promise<boolean> {
  if (Deno.build.os !== "linux") return false;
  const folder = Deno.makeTempDirSync({ prefix: "harmonylite-" });
  try {
    for (let attempt = 0; attempt < PROOF_ATTEMPTS; attempt++) {
      if (await tryOut(join(folder, `probe-${attempt}.db`))) return true;
    }
    return false;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

async function tryOut(path: string): Promise<boolean> {
  Deno.writeTextFileSync(path, "");
  using events = FileEvents.open(path);
  using database = Database.open(path);
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE probe (value)");
  if (!holdsLock(path)) return false;
  database.exec("INSERT INTO probe VALUES (1)");
  const arrived = await arrives(events);
  return arrived && holdsLock(path);
}

async function arrives(events: FileEvents): Promise<boolean> {
  const enough = new AbortController();
  const timeout = sleep(PROOF_TIMEOUT_MS, enough.signal).then(() => false, () => false);
  const event = events[Symbol.asyncIterator]().next().then(({ done }) => done !== true);
  const arrived = await Promise.race([event, timeout]);
  enough.abort();
  return arrived;
}

/** Whether this process holds a POSIX lock on a file, as the system tells. */
export function holdsLock(path: string): boolean {
  const { ino } = Deno.statSync(path);
  const mine = new RegExp(`\\bPOSIX\\b.*\\b${Deno.pid} \\S+:${ino} `);
  return Deno.readTextFileSync("/proc/locks").split("\n").some((line) => mine.test(line));
}
