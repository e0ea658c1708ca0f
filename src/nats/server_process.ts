import { Backoff } from "../lib/backoff.ts";
import { messageOf } from "../lib/errors.ts";
import { pause, sleep } from "../lib/sleep.ts";
import { type LaunchOptions, launchServer, type RunningServer, ServerEndedError } from "./server_launch.ts";

export interface SupervisionOptions extends LaunchOptions {
  /** Writes the configuration before each start. `port`: the one to listen on, when the last start chose one. */
  readonly configure: (port: number | undefined) => Promise<void>;
  /** It is ready, for the first time or again. */
  readonly onRunning: (server: RunningServer) => void;
  /** It has ended, or could not be started again; the next attempt comes after a pause. */
  readonly onEnded: (reason: string, pauseMs: number) => void;
}

/** How long a server of an earlier run may take to leave the port to this one. */
const PORT_PATIENCE_MS = 3_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
/** Who ran for this long has not failed at its start: the next pause is short again. */
const STEADY_MS = 30_000;

/** A nats-server of ours: started again whenever it ends, until disposed. It keeps the port that it got at first. */
export class NatsServerProcess implements AsyncDisposable {
  readonly #options: SupervisionOptions;
  readonly #stopping = new AbortController();
  readonly #supervised: Promise<void>;
  #running: RunningServer;

  private constructor(options: SupervisionOptions, running: RunningServer) {
    this.#options = options;
    this.#running = running;
    this.#supervised = this.#supervise();
  }

  /** Resolves when the server is ready. Rejects when it cannot be started, unless its port may yet become free. */
  static async start(options: SupervisionOptions): Promise<NatsServerProcess> {
    const running = await firstLaunch(options);
    options.onRunning(running);
    return new NatsServerProcess(options, running);
  }

  /** Where clients on this machine reach it. */
  get url(): string {
    return this.#running.url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running.stop();
    await this.#supervised;
  }

  async #supervise(): Promise<void> {
    const { signal } = this.#stopping;
    const backoff = new Backoff({ firstMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
    let startedAt = performance.now();
    let reason = await this.#running.ended;
    while (!signal.aborted) {
      if (performance.now() - startedAt > STEADY_MS) backoff.reset();
      const pauseMs = backoff.next();
      this.#options.onEnded(reason, pauseMs);
      await pause(pauseMs, signal);
      startedAt = performance.now();
      reason = await this.#relaunch(signal);
    }
  }

  /** Resolves, to why, when the new server has ended. */
  async #relaunch(signal: AbortSignal): Promise<string> {
    try {
      await this.#options.configure(this.#running.port);
      const running = await launchServer({ ...this.#options, signal });
      this.#running = running;
      // Asked to end just now: that was said to the one before.
      if (signal.aborted) await running.stop();
      else this.#options.onRunning(running);
      return await running.ended;
    } catch (error) {
      return messageOf(error);
    }
  }
}

async function firstLaunch(options: SupervisionOptions): Promise<RunningServer> {
  const deadline = performance.now() + PORT_PATIENCE_MS;
  for (;;) {
    try {
      await options.configure(undefined);
      return await launchServer(options);
    } catch (error) {
      const mayHeal = error instanceof ServerEndedError && error.isPortTaken && performance.now() < deadline;
      if (!mayHeal) throw error;
    }
    await sleep(FIRST_PAUSE_MS, options.signal);
  }
}
