import { applicationArguments, type ApplicationOptions, type ApplicationReport } from "./application.ts";
import { startProcess, type TestProcess } from "./process.ts";

const PROGRAM = new URL("./application.ts", import.meta.url).pathname;

/** An application at work, in a process of its own. */
export class RunningApplication implements AsyncDisposable {
  readonly process: TestProcess;

  constructor(process: TestProcess) {
    this.process = process;
  }

  /** Waits until it has written all it was told to and returns its report. */
  async finished(): Promise<ApplicationReport> {
    const code = await this.process.exited;
    const last = this.process.output.lines.at(-1);
    if (code !== 0 || last === undefined) {
      throw new Error(`Cannot read the application's report: exit code ${code}\n${this.process.log.tail()}`);
    }
    return JSON.parse(last) as ApplicationReport;
  }

  /** Tells it to stop writing and returns its report. */
  async stop(): Promise<ApplicationReport> {
    await this.process.stop();
    return await this.finished();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}

/** Starts an application and waits until its tables are there and it writes. */
export async function startApplication(options: ApplicationOptions): Promise<RunningApplication> {
  const process = startProcess({
    name: `application ${options.db}`,
    command: Deno.execPath(),
    args: ["run", "-A", "--no-config", "--no-lock", PROGRAM, ...applicationArguments(options)],
  });
  try {
    await process.waitForLog("writing");
    return new RunningApplication(process);
  } catch (error) {
    await process[Symbol.asyncDispose]();
    throw error;
  }
}
