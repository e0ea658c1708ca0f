import { basename, dirname, join } from "node:path";
import { Database } from "../sqlite/database.ts";
import { removeIfThere } from "../lib/files.ts";
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

  /** Uses a folder beside the database; what killed processes left there is removed. So it wants the process lock. */
  static open(databasePath: string): FileEvents {
    const isPrepared = hasPreparedFileEvents(databasePath);
    const folder = isPrepared ? preparedFolder(databasePath, Deno.pid) : ownFolder(databasePath);
    removeWatchFolders(databasePath, { but: isPrepared ? folder : undefined });
    if (!isPrepared) makeFolder(folder, databasePath);
    const { view, next, decoys } = placesIn(folder);
    const watcher = Deno.watchFs([view, decoys], { recursive: false });
    Deno.renameSync(next, view);
    return new FileEvents(folder, new Set(namesOf(databasePath)), watcher);
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
    removeIfThere(this.#folder, { recursive: true });
  }
}

/** The files whose events count. */
function namesOf(databasePath: string): string[] {
  return SUFFIXES.map((suffix) => basename(databasePath) + suffix);
}

function ownFolder(databasePath: string): string {
  return `${databasePath}-harmonylite.watch`;
}

function preparedFolder(databasePath: string, process: number): string {
  return `${ownFolder(databasePath)}-${process}`;
}

function placesIn(folder: string): Record<"view" | "next" | "decoys", string> {
  return { view: join(folder, "view"), next: join(folder, "next"), decoys: join(folder, "decoys") };
}

function makeFolder(folder: string, databasePath: string): void {
  const { view, next, decoys } = placesIn(folder);
  Deno.mkdirSync(folder, { mode: 0o700 });
  Deno.mkdirSync(decoys);
  for (const name of namesOf(databasePath)) Deno.writeTextFileSync(join(decoys, name), "");
  Deno.symlinkSync(dirname(databasePath), view);
  Deno.symlinkSync(decoys, next);
}

/**
 * A program that is locked may make no links, and cannot see its locks to prove that watching is harmless. Who starts it does
 * both before, when it knows the number that the process will have. The runtime must be the same.
 */
export async function prepareFileEvents(databasePath: string, process: number): Promise<void> {
  if (!await provesHarmless()) return;
  const folder = preparedFolder(databasePath, process);
  removeIfThere(folder, { recursive: true });
  makeFolder(folder, databasePath);
}

/** Whether {@link prepareFileEvents} was done for this process. */
export function hasPreparedFileEvents(databasePath: string): boolean {
  try {
    return Deno.lstatSync(placesIn(preparedFolder(databasePath, Deno.pid)).next).isSymlink;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** For who holds the process lock: there is no other watcher then. */
export function removeWatchFolders(databasePath: string, { but }: { but?: string | undefined } = {}): void {
  const own = ownFolder(databasePath);
  for (const { name } of Deno.readDirSync(dirname(databasePath))) {
    const path = join(dirname(databasePath), name);
    const isOurs = path.startsWith(own) && /^(-\d+)?$/.test(path.slice(own.length));
    if (isOurs && path !== but) removeIfThere(path, { recursive: true });
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
