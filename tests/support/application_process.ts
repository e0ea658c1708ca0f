import { applicationArguments, type ApplicationOptions, type ApplicationReport } from "./application.ts";
import { startProcess, type TestProcess } from "./process.ts";
import type { VersatileReport } from "./versatile_application.ts";

/** An application at work, in a process of its own. */
export class RunningApplication<Report = ApplicationReport> implements AsyncDisposable {
  readonly process: TestProcess;

  constructor(process: TestProcess) {
    this.process = process;
  }

  /** Waits until it has written all it was told to and returns its report. */
  async finished(): Promise<Report> {
    const code = await this.process.exited;
    const last = this.process.output.lines.at(-1);
    if (code !== 0 || last === undefined) {
      throw new Error(`Cannot read the application's report: exit code ${code}\n${this.process.log.tail()}`);
    }
    return JSON.parse(last) as Report;
  }

  /** Tells it to stop writing and returns its report. */
  async stop(): Promise<Report> {
    await this.process.stop();
    return await this.finished();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}

/** Starts an application and waits until its tables are there and it writes. */
export function startApplication(options: ApplicationOptions): Promise<RunningApplication> {
  return startProgram("application.ts", options.db, applicationArguments(options));
}

/** Starts an application whose statements follow its schema and waits until it writes; see versatile_application.ts. */
export function startVersatileApplication(
  db: string,
  firstId: number,
): Promise<RunningApplication<VersatileReport>> {
  return startProgram("versatile_application.ts", db, [db, String(firstId)]);
}

async function startProgram<Report>(
  program: string,
  db: string,
  args: readonly string[],
): Promise<RunningApplication<Report>> {
  const path = new URL(program, import.meta.url).pathname;
  const process = startProcess({
    name: `application ${db}`,
    command: Deno.execPath(),
    args: ["run", "-A", "--no-config", "--no-lock", path, ...args],
  });
  try {
    await process.waitForLog("writing");
    return new RunningApplication(process);
  } catch (error) {
    await process[Symbol.asyncDispose]();
    throw error;
  }
}
