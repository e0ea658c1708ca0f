import { findProgram } from "../../src/lib/programs.ts";
import { BoundedLog } from "./bounded_log.ts";

export interface SpawnOptions {
  /** What the process is called in messages. */
  readonly name: string;
  readonly command: string;
  readonly args?: readonly string[];
  readonly cwd?: string;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Told each line of both outputs as it comes. */
  readonly onLine?: (line: string) => void;
}

/** How long output may still come after a process has ended; a grandchild may keep the pipe open for ever. */
const OUTPUT_GRACE_MS = 1_000;

/** Set by the test of the watchdog, which is otherwise used only where there is no `setpriv`. */
const FORCE_WATCHDOG = "HARMONYLITE_TEST_WATCHDOG";

/**
 * A program started by a test, with its output in a bounded log.
 *
 * It runs in a process group of its own, which disposing kills as a whole, and it dies with the test process even
 * when that is killed: on Linux by the kernel's parent-death signal, elsewhere by a watchdog that waits for its
 * standard input to close.
 */
export class TestProcess implements AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** Standard output and standard error, in the order of arrival. */
  readonly log: BoundedLog;
  /** Lines of standard output alone. */
  readonly output: BoundedLog;
  /** The exit code; 128 + the signal's number when a signal ended it. All output is in the log by then. */
  readonly exited: Promise<number>;
  #ended = false;
  #watchdog: Deno.ChildProcess | undefined;

  constructor(options: SpawnOptions) {
    this.name = options.name;
    this.log = new BoundedLog(options.name, options.onLine);
    this.output = new BoundedLog(`${options.name}, standard output`);
    const setpriv = Deno.env.has(FORCE_WATCHDOG) ? undefined : findProgram("setpriv");
    const args = [...options.args ?? []];
    const child = new Deno.Command(setpriv ?? options.command, {
      args: setpriv === undefined ? args : ["--pdeathsig", "KILL", "--", options.command, ...args],
      ...options.cwd === undefined ? {} : { cwd: options.cwd },
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...options.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: true,
    }).spawn();
    this.pid = child.pid;
    if (setpriv === undefined) this.#watchdog = startWatchdog(child.pid);
    this.exited = this.#follow(child);
  }

  get running(): boolean {
    return !this.#ended;
  }

  /** Sends a signal to the process alone, not to its children. */
  signal(signal: Deno.Signal): void {
    if (this.#ended) return;
    try {
      Deno.kill(this.pid, signal);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  /** Sends a signal to the process alone and waits until it has ended. */
  async kill(signal: Deno.Signal = "SIGKILL"): Promise<number> {
    this.signal(signal);
    return await this.exited;
  }

  /** SIGTERM, then the exit code. Throws when the process has not ended in time; it is killed then. */
  async stop(options: { timeoutMs?: number } = {}): Promise<number> {
    const timeoutMs = options.timeoutMs ?? 30_000;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#killGroup();
    }, timeoutMs);
    try {
      const code = await this.kill("SIGTERM");
      if (late) {
        throw new Error(`Cannot stop ${this.name}: alive ${timeoutMs} ms after SIGTERM\n${this.log.tail()}`);
      }
      return code;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves to the first line of the log that contains `text`; rejects when the process ends without it. */
  waitForLog(text: string | RegExp, options: { timeoutMs?: number } = {}): Promise<string> {
    return this.log.waitFor(text, options);
  }

  /** Kills the process and everything it started in its group. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#killGroup();
    await this.exited;
  }

  async #follow(child: Deno.ChildProcess): Promise<number> {
    const readers = [child.stdout.getReader(), child.stderr.getReader()] as const;
    const drained = Promise.all([
      copyLines(readers[0], [this.log, this.output]),
      copyLines(readers[1], [this.log]),
    ]);
    const status = await child.status;
    const timer = setTimeout(() => readers.forEach((reader) => void reader.cancel()), OUTPUT_GRACE_MS);
    await drained;
    clearTimeout(timer);
    await this.#stopWatchdog();
    this.#ended = true;
    this.log.end();
    this.output.end();
    return status.code;
  }

  #killGroup(): void {
    try {
      Deno.kill(-this.pid, "SIGKILL");
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  async #stopWatchdog(): Promise<void> {
    if (this.#watchdog === undefined) return;
    this.#watchdog.kill("SIGKILL");
    await this.#watchdog.status;
    await this.#watchdog.stdin.close().catch(() => undefined);
    this.#watchdog = undefined;
  }
}

export function startProcess(options: SpawnOptions): TestProcess {
  return new TestProcess(options);
}

/** Runs a program to its end; throws with its output when it fails. Returns its standard output. */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: { input?: string; cwd?: string; env?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<string> {
  const child = new Deno.Command(command, {
    args: [...args],
    ...options.cwd === undefined ? {} : { cwd: options.cwd },
    ...options.env === undefined ? {} : { env: options.env },
    ...options.signal === undefined ? {} : { signal: options.signal },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [, result] = await Promise.all([feed(child, options.input ?? ""), child.output()]);
  if (result.success) return new TextDecoder().decode(result.stdout);
  const text = new TextDecoder().decode(result.stderr).trim();
  throw new Error(`Cannot run "${command}": exit code ${result.code}: ${text}`);
}

/** A program that has failed early closes its input; its exit code says more than that does. */
async function feed(child: Deno.ChildProcess, input: string): Promise<void> {
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).catch(() => undefined);
  await writer.close().catch(() => undefined);
}

async function copyLines(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  logs: readonly BoundedLog[],
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    const parts = (rest + decoder.decode(chunk.value, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) logs.forEach((log) => log.push(line));
  }
  if (rest !== "") logs.forEach((log) => log.push(rest));
}

/** Kills the group of `pid` as soon as this process, which holds the other end of its input, is gone. */
function startWatchdog(pid: number): Deno.ChildProcess {
  return new Deno.Command("sh", {
    args: ["-c", `cat > /dev/null; kill -9 -${pid}`],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
}

function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound ||
    (error instanceof TypeError && /terminated/.test(error.message));
}
