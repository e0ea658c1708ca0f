import { eventually } from "./eventually.ts";
import { freePort } from "./nats_server.ts";
import { startProcess, type TestProcess } from "./process.ts";

export interface LoopbackServerOptions {
  readonly name: string;
  readonly command: string;
  readonly args: (port: number) => readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Whether it serves; default: it takes connections. */
  readonly isReady?: (port: number) => Promise<boolean>;
}

export interface LoopbackServer extends AsyncDisposable {
  readonly port: number;
  readonly process: TestProcess;
}

const MAX_START_ATTEMPTS = 3;

/** Starts a server on a free port of loopback and waits until it serves. */
export async function startLoopbackServer(options: LoopbackServerOptions): Promise<LoopbackServer> {
  for (let attempt = 1;; attempt++) {
    const port = freePort();
    const { name, command, env, isReady = takesConnections } = options;
    const process = startProcess({ name, command, args: options.args(port), ...env && { env } });
    try {
      await eventually(`${name} serves`, async () => {
        if (!process.running) throw new Error(process.log.tail());
        return await isReady(port);
      }, { timeoutMs: 30_000 });
      return { port, process, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
    } catch (error) {
      await process[Symbol.asyncDispose]();
      // Another test may have taken the port meanwhile.
      if (attempt === MAX_START_ATTEMPTS || !process.log.has("address already in use")) throw error;
    }
  }
}

async function takesConnections(port: number): Promise<boolean> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  connection.close();
  return true;
}
