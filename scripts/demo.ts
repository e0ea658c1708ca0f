/**
 * The demo: three nodes and a nats-server on this machine, an application that writes to each of the three databases,
 * and a live view of how the rows move. One node is killed on the way. It ends with a comparison of all rows, and
 * leaves nothing behind.
 *
 *     deno task demo            until Ctrl-C
 *     deno task demo --once     for machines: some seconds, exit code 0 when all is equal
 */
import { messageOf } from "../src/lib/errors.ts";
import { sleep } from "../src/lib/sleep.ts";
import { findNatsServer } from "../src/nats/server_binary.ts";
import { compareDatabases, dumpTable, userTables } from "../tests/support/database.ts";
import { ROOT } from "../tests/support/node_process.ts";
import { runProgram } from "../tests/support/process.ts";
import { DEMO_HELP, type DemoOptions, parseDemoOptions } from "./demo/options.ts";
import { openScreen, type Screen } from "./demo/screen.ts";
import { Show } from "./demo/show.ts";
import { Stage } from "./demo/stage.ts";
import { stopSignal } from "./demo/stop_signal.ts";
import { duration, grouped } from "./demo/style.ts";

const INTERRUPTED = 130;
const MAX_DIFFERENCES = 20;
/** In an endless demo: when the first node is killed, how long it is away, and when the next one follows. */
const FIRST_FAULT_MS = 10_000;
const FAULT_MS = 4_000;
const NEXT_FAULT_MS = 26_000;

/** One performance, from an empty folder to no folder. */
class Demo {
  readonly #options: DemoOptions;
  readonly #screen: Screen;
  readonly #signal: AbortSignal;
  readonly #stack: AsyncDisposableStack;

  constructor(options: DemoOptions, screen: Screen, signal: AbortSignal, stack: AsyncDisposableStack) {
    this.#options = options;
    this.#screen = screen;
    this.#signal = signal;
    this.#stack = stack;
  }

  /** Whether all databases were equal at the end. */
  async run(): Promise<boolean> {
    this.#screen.say("");
    await this.#prepare();
    const stage = await Stage.open(this.#stack, this.#options);
    this.#introduce(stage);
    await Promise.all(stage.nodes.map((node) => node.start()));
    const isEqual = await this.#perform(stage);
    if (this.#options.keep) this.#say(`Kept, as asked: ${stage.folder}`);
    return isEqual;
  }

  /** What a fresh machine lacks. The nodes would fetch their packages too, but all three at once and in silence. */
  async #prepare(): Promise<void> {
    const natsServer = await findNatsServer({ log: (line) => this.#dim(line), signal: this.#signal });
    Deno.env.set("NATS_SERVER", natsServer);
    const start = performance.now();
    await runProgram(Deno.execPath(), ["cache", "--quiet", "--frozen", `${ROOT}main.ts`], { cwd: ROOT });
    this.#dim(`packages: in place, ${duration(performance.now() - start)}`);
    this.#signal.throwIfAborted();
  }

  #introduce({ folder, nodes, natsUrl }: Stage): void {
    const { bold } = this.#screen.styles;
    this.#screen.say("");
    this.#say(
      bold("HarmonyLite: three SQLite databases, all written to, all with the same rows"),
    );
    this.#screen.say("");
    for (const { id } of nodes) {
      const rail = ["┐", "┼", "┘"][id - 1];
      const hub = id === 2 ? `── nats-server, port ${new URL(natsUrl).port}` : "";
      this.#say(`application ${id} ──▶ shop-${id}.db ◀──▶ node ${id} ──${rail}${hub}`);
    }
    this.#screen.say("");
    this.#dim(`Each application makes ${this.#options.rate} transactions a second in three tables,`);
    this.#dim("a fifth of them on rows that all three write. It has never heard of us.");
    this.#dim(`All of it lies in ${folder}`);
  }

  async #perform(stage: Stage): Promise<boolean> {
    using show = new Show(stage, this.#screen);
    const ending = new AbortController();
    const shown = show.run(ending.signal);
    const played = this.#play(stage, show);
    try {
      // A node that ends by itself ends the show, and that error must not wait for the play.
      await Promise.race([shown, played]);
    } finally {
      played.catch(() => {}); // Thrown already, or it comes of the stage being cleared away under it.
      ending.abort();
      await shown.catch(() => {}); // It was thrown above.
    }
    await Promise.all(stage.nodes.map((node) => node.drain()));
    return this.#compare(stage);
  }

  /** Writing with a fault in the midst of it, then silence. */
  async #play(stage: Stage, show: Show): Promise<void> {
    const { seconds, rate } = this.#options;
    show.status = seconds === undefined ? "Ctrl-C ends it" : `for ${seconds} seconds`;
    await Promise.all(stage.nodes.map((node) => node.startWriting(rate)));
    const over = AbortSignal.any([
      this.#signal,
      ...seconds === undefined ? [] : [AbortSignal.timeout(seconds * 1000)],
    ]);
    await this.#faults(show, over);
    await aborted(over);
    show.status = "waiting until all has arrived";
    const reports = await Promise.all(stage.nodes.map((node) => node.stopWriting()));
    const transactions = reports.reduce((sum, report) => sum + report.transactions, 0);
    show.remark(`${grouped(transactions)} transactions written, none failed`);
    await this.#quiet(show);
    show.status = "done";
    show.show();
  }

  /** Once in the middle of a bounded demo; in an endless one now and then, a node after the other. */
  async #faults(show: Show, over: AbortSignal): Promise<void> {
    const { seconds } = this.#options;
    const totalMs = seconds === undefined ? Infinity : seconds * 1000;
    await pause(Math.min(FIRST_FAULT_MS, totalMs * 0.4), over);
    for (let id = 2; !over.aborted; id = id % 3 + 1) {
      await show.killAndRestart(id, Math.min(FAULT_MS, totalMs * 0.25), over);
      if (seconds !== undefined) return;
      await pause(NEXT_FAULT_MS, over);
    }
  }

  async #quiet(show: Show): Promise<void> {
    const start = performance.now();
    const isQuiet = await show.finish();
    const took = duration(performance.now() - start);
    // The comparison says what is missing.
    show.remark(
      isQuiet ? `all of it is everywhere ${took} later` : `not all of it has arrived within ${took}`,
    );
  }

  #compare({ nodes }: Stage): boolean {
    const { bold, green, red } = this.#screen.styles;
    const paths = nodes.map(({ db }) => db);
    const [first = ""] = paths;
    const differences = compareDatabases(paths, MAX_DIFFERENCES);
    const tables = userTables(first);
    const rows = tables.reduce((sum, table) => sum + dumpTable(first, table).rows.length, 0);
    this.#screen.say("");
    if (differences.length === 0) {
      const size = `${grouped(rows)} rows in ${tables.length} tables`;
      this.#say(
        `${green("✓")} ${
          bold("All three databases are equal")
        }: ${size}, compared row by row, types included.`,
      );
    } else {
      this.#say(`${red("✗")} ${bold("The databases differ")}:`);
      for (const { text } of differences) this.#say(`  ${text}`);
    }
    return differences.length === 0;
  }

  #say(line: string): void {
    this.#screen.say(`  ${line}`);
  }

  #dim(line: string): void {
    this.#say(this.#screen.styles.dim(line));
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Ends early, but not with an error, when the signal is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0 && !signal.aborted) await sleep(ms, signal).catch(() => {});
}

async function main(args: string[]): Promise<number> {
  const options = parseDemoOptions(args);
  if (options === "help") {
    console.log(DEMO_HELP);
    return 0;
  }
  using screen = openScreen();
  await using stack = new AsyncDisposableStack();
  let hurry: Promise<void> | undefined;
  const signal = stopSignal(() => hurry ??= stack.disposeAsync());
  let code: number;
  try {
    code = await new Demo(options, screen, signal, stack).run() ? 0 : 1;
  } catch (error) {
    // Whoever stops it while it is being set up has not seen it fail, and whoever hurries it breaks it.
    if (hurry === undefined && !(signal.aborted && error === signal.reason)) throw error;
    code = INTERRUPTED;
  }
  await hurry;
  return code;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(`\ndemo: ${messageOf(error)}`);
    Deno.exit(1);
  }
}
