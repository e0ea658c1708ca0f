/**
 * The gate: `deno task test` checks and tests everything, and its last line counts what passed.
 *
 *     deno task test                           all checks, all tests
 *     deno task test src/apply                 the tests of a folder or a file
 *     deno task test "dies with the process"   the tests whose name contains that
 *     deno task test --fail-fast               what begins with a dash goes to `deno test`
 *
 * With arguments only tests run, no checks. All tests run in two processes side by side, those that mostly wait for other
 * processes in one; within each the files run one after the other, as tests set variables and look at what else runs.
 */
import { findNatsServer } from "../src/nats/server_binary.ts";
import { messageOf } from "../src/lib/errors.ts";
import { findChromium } from "../tests/support/chromium.ts";
import { startProcess, type TestProcess } from "../tests/support/process.ts";
import { fetchServerPrograms } from "../tests/support/server_programs.ts";
import { findAncestors } from "./ancestors.ts";
import { GATE_MARK, killStrays } from "./strays.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const TEST_PATHS = ["src", "tests", "scripts"];
/** Programs; deno takes the second for a test because of its name. */
const NO_TESTS = ["tests/bench", "scripts/test.ts"];
/** Tests with processes alone: about half of the time. */
const E2E = "tests/e2e";
/** After this the gate stops whatever runs and fails. */
const LIMIT_MS = 25 * 60_000;
/** How long what the tests started may take to notice that they are over. */
const STRAY_GRACE_MS = 5_000;
const ANCESTORS_INTERVAL_MS = 1_000;

const CHECKS: readonly { name: string; args: readonly string[] }[] = [
  { name: "format", args: ["fmt", "--check"] },
  { name: "lint", args: ["lint"] },
  { name: "types", args: ["check", "--quiet", "main.ts", ...TEST_PATHS] },
  { name: "layers", args: ["run", "-A", "scripts/layers.ts"] },
  { name: "tidy", args: ["run", "-A", "scripts/tidy.ts"] },
];

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

class Gate {
  readonly #counts = { passed: 0, failed: 0, skipped: 0 };
  readonly #mark = crypto.randomUUID();
  readonly #signal: AbortSignal;
  #natsServer = "";

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  get counts(): Counts {
    return this.#counts;
  }

  async run(args: readonly string[]): Promise<void> {
    try {
      if (!await this.#setUp(args)) return;
      if (args.length === 0) await this.#runChecks();
      await this.#runTests(args);
    } finally {
      await this.#checkStrays();
      if (this.#signal.aborted) this.#fail(`stopped: ${messageOf(this.#signal.reason)}`);
    }
  }

  async #setUp(args: readonly string[]): Promise<boolean> {
    heading("set up");
    const { deno, typescript, v8 } = Deno.version;
    say(
      `deno ${deno}, typescript ${typescript}, v8 ${v8}, ${Deno.build.target}, ${navigator.hardwareConcurrency} cores`,
    );
    try {
      this.#natsServer = await findNatsServer({ log: say, signal: this.#signal });
      // Chosen tests look for them themselves: few need them, and the first time Go builds one for minutes.
      if (args.length === 0) {
        await findChromium({ log: say, signal: this.#signal });
        await fetchServerPrograms({ log: say, signal: this.#signal });
      }
      return true;
    } catch (error) {
      this.#fail(messageOf(error));
      return false;
    }
  }

  async #runChecks(): Promise<void> {
    for (const { name, args } of CHECKS) {
      if (this.#signal.aborted) return;
      heading(name);
      const { code } = await this.#deno(name, args);
      if (code === 0) this.#counts.passed++;
      else this.#fail(`${name}: exit code ${code}`);
    }
  }

  async #runTests(args: readonly string[]): Promise<void> {
    if (this.#signal.aborted) return;
    heading("tests");
    if (args.length > 0) return await this.#runSome("deno test", testArguments(args));
    // The full run has checked the types already.
    await Promise.all([
      this.#runSome("e2e", ["--no-check", E2E]),
      this.#runSome("deno test", ["--no-check", `--ignore=${NO_TESTS}`, "src", "scripts", ...otherTests()]),
    ]);
  }

  async #runSome(name: string, args: readonly string[]): Promise<void> {
    const { code, lines } = await this.#deno(name, ["test", "-A", "--frozen", ...args]);
    const counts = readSummary(lines);
    this.#counts.passed += counts.passed;
    this.#counts.failed += counts.failed;
    this.#counts.skipped += counts.skipped;
    if (code !== 0 && counts.failed === 0) this.#fail(`${name}: exit code ${code}`);
  }

  /** What tests start must end with them; a process that is left is a failure, and does not stay. */
  async #checkStrays(): Promise<void> {
    const strays = await killStrays(this.#mark, STRAY_GRACE_MS);
    if (strays === undefined) say("processes left behind are looked for on Linux only");
    for (const { pid, command } of strays ?? []) this.#fail(`process ${pid} was left behind: ${command}`);
  }

  /** Runs deno with its output shown line by line; it is killed with all its children when the gate is stopped. */
  async #deno(name: string, args: readonly string[]): Promise<{ code: number; lines: readonly string[] }> {
    const lines: string[] = [];
    await using child: TestProcess = startProcess({
      name,
      command: Deno.execPath(),
      args,
      cwd: ROOT,
      env: { [GATE_MARK]: this.#mark, NATS_SERVER: this.#natsServer },
      onLine: (line) => {
        lines.push(line);
        say(name === "e2e" ? `e2e │ ${line}` : line);
      },
    });
    const kill = (): void => void child[Symbol.asyncDispose]();
    this.#signal.addEventListener("abort", kill);
    const code = await child.exited;
    this.#signal.removeEventListener("abort", kill);
    return { code, lines };
  }

  #fail(reason: string): void {
    this.#counts.failed++;
    say(`FAILED: ${reason}`);
  }
}

/** Paths and options go to `deno test` as they are; any other word is looked for in the names of tests. */
function testArguments(args: readonly string[]): string[] {
  const options = args.filter((arg) => arg.startsWith("-"));
  const words = args.filter((arg) => !arg.startsWith("-"));
  const paths = words.filter(exists);
  const filters = words.filter((word) => !exists(word)).map((word) => `--filter=${word}`);
  return [...options, ...filters, ...paths.length > 0 ? paths : [`--ignore=${NO_TESTS}`, ...TEST_PATHS]];
}

/** Named one by one: deno 2.9.6 does not ignore a folder when it is given three. */
function otherTests(): string[] {
  const folders = [...Deno.readDirSync(`${ROOT}tests`)].filter((entry) => entry.isDirectory);
  return folders.map(({ name }) => `tests/${name}`).filter((path) =>
    path !== E2E && !NO_TESTS.includes(path)
  );
}

function exists(path: string): boolean {
  try {
    Deno.statSync(`${ROOT}${path}`);
    return true;
  } catch {
    return false; // Not a path, then.
  }
}

/** The counts of deno's last line; without one, because the run was cut off, what its lines say one by one. */
export function readSummary(lines: readonly string[]): Counts {
  const steps = String.raw`(?: \(\d+ steps?\))?`;
  const pattern = new RegExp(
    String.raw`^(?:ok|FAILED) \| (\d+) passed${steps} \| (\d+) failed${steps}(?: \| (\d+) ignored${steps})?`,
  );
  const summary = lines.map((line) => pattern.exec(line)).findLast((match) => match !== null);
  if (summary) {
    return { passed: Number(summary[1]), failed: Number(summary[2]), skipped: Number(summary[3] ?? 0) };
  }
  const count = (verdict: RegExp): number => lines.filter((line) => verdict.test(line)).length;
  return {
    passed: count(/^\S.* \.\.\. ok \(/),
    failed: count(/^\S.* \.\.\. FAILED \(/),
    skipped: count(/^\S.* \.\.\. ignored \(/),
  };
}

function heading(name: string): void {
  say(`\n── ${name}`);
}

function say(line: string): void {
  console.log(line);
}

/** Aborts at the time limit, on the signals that ask a program to end, and when the command that runs us has ended. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => controller.abort(new Error(`it got ${signal}`)));
  }
  const tooLong = new Error(`it took longer than ${LIMIT_MS / 60_000} minutes`);
  Deno.unrefTimer(setTimeout(() => controller.abort(tooLong), LIMIT_MS));
  const ancestors = findAncestors();
  Deno.unrefTimer(setInterval(() => {
    if (ancestors.ended()) controller.abort(new Error("the command that started it has ended"));
  }, ANCESTORS_INTERVAL_MS));
  return controller.signal;
}

if (import.meta.main) {
  const gate = new Gate(stopSignal());
  await gate.run(Deno.args);
  const { passed, failed, skipped } = gate.counts;
  say(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  Deno.exit(failed === 0 ? 0 : 1);
}
