import { backup, DatabaseSync } from "node:sqlite";
import { Database } from "../../src/sqlite/database.ts";

/** What `Deno.FsFile` can do at once as well as later. */
const METHODS = ["read", "write", "stat", "seek", "truncate", "syncData"] as const;

type Work = (...args: unknown[]) => unknown;

/**
 * Files, databases and threads of this program while a simulation runs: what they are asked to do is done before the call
 * returns, so that nothing waits for the system. And what a process that died has left open can be closed for it, as the
 * system does.
 */
export class SimFiles implements Disposable {
  readonly #opened: { readonly path: string; readonly close: () => void }[] = [];
  readonly #restore = new DisposableStack();

  constructor() {
    this.#doFilesAtOnce();
    this.#replace(Database, "open", (open) => (path, ...options) => {
      const database = open(path, ...options) as Database;
      this.#opened.push({ path: String(path), close: () => database.close() });
      return database;
    });
    this.#replace(globalThis, "Worker", () => CopyingThread as unknown as Work);
  }

  /** The process is dead that had files open whose paths begin so. */
  closeAll(prefix: string): void {
    for (const { path, close } of this.#opened.splice(0)) {
      if (path.startsWith(prefix)) close();
      else this.#opened.push({ path, close });
    }
  }

  [Symbol.dispose](): void {
    this.closeAll("");
    this.#restore.dispose();
  }

  #doFilesAtOnce(): void {
    const open = Deno.openSync;
    for (const name of ["open", "openSync"] as const) {
      this.#replace(Deno, name, () => (...args) => {
        const file = open(...args as Parameters<typeof open>);
        this.#opened.push({ path: String(args[0]), close: () => closeIfOpen(file) });
        return name === "open" ? Promise.resolve(file) : file;
      });
    }
    this.#replace(Deno, "remove", () => atOnce(Deno.removeSync as Work));
    for (const name of METHODS) {
      const sync = Deno.FsFile.prototype[`${name}Sync`] as Work;
      this.#replace(Deno.FsFile.prototype, name, () => atOnce(sync));
    }
  }

  #replace(target: object, name: string, make: (before: Work) => Work): void {
    const names = target as Record<string, Work>;
    const before = names[name]!;
    names[name] = make(before.bind(target));
    this.#restore.defer(() => names[name] = before);
  }
}

/** What it throws becomes what its promise rejects with. */
function atOnce(work: Work): Work {
  return async function (this: unknown, ...args): Promise<unknown> {
    return await work.apply(this, args);
  };
}

function closeIfOpen(file: Deno.FsFile): void {
  try {
    file.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** In place of the thread that copies a database (`src/sqlite/backup.ts`): it does the same here, at once. */
class CopyingThread {
  onmessage: ((event: { readonly data: object }) => void) | undefined;

  postMessage({ from, to }: { readonly from: string; readonly to: string }): void {
    const database = new DatabaseSync(from, { readOnly: true });
    const tell = (data: object): void => this.onmessage?.({ data });
    backup(database, to, { rate: -1 })
      .then(() => tell({ kind: "ended" }), (error) => tell({ kind: "failed", reason: String(error) }))
      .finally(() => database.close());
  }

  terminate(): void {}
}
