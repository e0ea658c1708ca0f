import { findNatsServer } from "../../src/nats/server_binary.ts";
import { startProcess, type TestProcess } from "./process.ts";
import { makeTempDir, type TempDir } from "./temp.ts";

export interface NatsServerOptions {
  /** Where JetStream keeps its files; default a folder of its own that goes with the server. */
  readonly storeDir?: string;
  /** Default: a free port that the system names. */
  readonly port?: number;
  /** Default true. */
  readonly jetStream?: boolean;
  /** Further arguments of nats-server. */
  readonly args?: readonly string[];
  /** Text of a configuration file; what the arguments say goes before it. */
  readonly config?: string;
}

const START_TIMEOUT_MS = 60_000;
const MAX_START_ATTEMPTS = 8;

/** A real nats-server with JetStream on loopback. */
export class NatsServer implements AsyncDisposable {
  readonly storeDir: string;
  readonly #options: NatsServerOptions;
  readonly #temp: TempDir;
  readonly #binary: string;
  #process: TestProcess | undefined;
  #port: number;
  #hasRun = false;

  constructor(binary: string, options: NatsServerOptions, temp: TempDir) {
    this.#binary = binary;
    this.#options = options;
    this.#temp = temp;
    this.#port = options.port ?? 0;
    this.storeDir = options.storeDir ?? temp.file("store");
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  /** The running process, or the last one that ran. */
  get process(): TestProcess {
    if (this.#process === undefined) throw new Error("nats-server was not started");
    return this.#process;
  }

  /** Starts it again, or for the first time, on the same port and store. Nothing happens when it runs. */
  async start(): Promise<void> {
    for (let attempt = 1; !this.#process?.running; attempt++) {
      if (this.#port === 0) this.#port = freePort();
      const started = await this.#launch();
      if (started.ready) return;
      if (!started.portTaken || attempt === MAX_START_ATTEMPTS) {
        throw new Error(`Cannot start nats-server on port ${this.#port}: ${started.reason}`);
      }
      // Before the first start any port will do; later ones must wait until the known one is free again.
      if (this.#options.port === undefined && !this.#hasRun) this.#port = 0;
      else await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }

  /** SIGKILL: a crash. */
  async kill(): Promise<void> {
    await this.#process?.kill("SIGKILL");
  }

  /** SIGTERM: an orderly end. */
  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  /** Stops it in good order, if it runs, and starts it on the same port and store. For a crash, `kill` it first. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.[Symbol.asyncDispose]();
    await this.#temp[Symbol.asyncDispose]();
  }

  async #launch(): Promise<{ ready: true } | { ready: false; portTaken: boolean; reason: string }> {
    const server = startProcess({
      name: `nats-server :${this.#port}`,
      command: this.#binary,
      args: await this.#arguments(),
    });
    this.#process = server;
    try {
      await server.waitForLog("Server is ready", { timeoutMs: START_TIMEOUT_MS });
      this.#hasRun = true;
      return { ready: true };
    } catch (error) {
      const portTaken = server.log.has("address already in use");
      await server[Symbol.asyncDispose]();
      return { ready: false, portTaken, reason: error instanceof Error ? error.message : String(error) };
    }
  }

  async #arguments(): Promise<string[]> {
    const jetStream = this.#options.jetStream ?? true ? ["-js", "-sd", this.storeDir] : [];
    const args = ["-a", "127.0.0.1", "-p", String(this.#port), ...jetStream];
    if (this.#options.config !== undefined) {
      const path = this.#temp.file("nats.conf");
      await Deno.writeTextFile(path, this.#options.config);
      args.push("-c", path);
    }
    return [...args, ...this.#options.args ?? []];
  }
}

/** Starts nats-server and waits until it is ready. `await using` stops it and removes its files. */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const server = new NatsServer(await natsServerBinary(), options, await makeTempDir());
  try {
    await server.start();
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** The gate names the program in NATS_SERVER; a single test that is run by hand looks for it. */
export async function natsServerBinary(): Promise<string> {
  return await findNatsServer({ log: () => {} });
}

/** A port of loopback that was free a moment ago. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}
