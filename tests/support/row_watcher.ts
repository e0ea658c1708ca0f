/**
 * Looks at rows of a database again and again without a pause, in a process of its own, until standard input closes.
 *
 *     deno run -A tests/support/row_watcher.ts shop.db 'SELECT a, b FROM t WHERE id = 1'
 *
 * Its output is one JSON array: for each column of the query all values that it had, in order, repetitions left out.
 */
import { DatabaseSync } from "node:sqlite";

const BUSY_TIMEOUT_MS = 10_000;
/** The event loop gets its turn after this many looks. */
const LOOKS_AT_A_TIME = 100;

/** Watches until {@link RowWatcher.stop}. */
export class RowWatcher implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<Deno.CommandOutput>;
  #stopped = false;

  /** `query` has one row. */
  constructor(path: string, query: string) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-lock", new URL(import.meta.url).pathname, path, query],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#output = this.#child.output();
  }

  /** What each column was, after one more look. */
  async stop(): Promise<string[][]> {
    await this[Symbol.asyncDispose]();
    const { success, stdout, stderr } = await this.#output;
    if (!success) throw new Error(`Cannot watch: ${new TextDecoder().decode(stderr)}`);
    return JSON.parse(new TextDecoder().decode(stdout));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.#child.stdin.close();
    await this.#output;
  }
}

async function main([path, query]: string[]): Promise<void> {
  using db = new DatabaseSync(path!, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
  const statement = db.prepare(query!);
  const seen: string[][] = [];
  const look = (): void => {
    Object.values(statement.get() ?? {}).map(String).forEach((value, at) => {
      const column = seen[at] ??= [];
      if (column.at(-1) !== value) column.push(value);
    });
  };
  let done = false;
  const closed = Deno.stdin.read(new Uint8Array(1)).then(() => done = true);
  while (!done) {
    for (let i = 0; i < LOOKS_AT_A_TIME; i++) look();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await closed;
  look();
  console.log(JSON.stringify(seen));
}

if (import.meta.main) await main(Deno.args);
