import { HarmonyLiteError } from "../lib/errors.ts";
import { pause, sleep } from "../lib/sleep.ts";

const PATIENCE_MS = 10_000;
const PAUSE_MS = 50;
/** How long a server may take to greet; one that speaks TLS at once never does. */
const GREETING_TIMEOUT_MS = 1_000;

/**
 * Waits until the server that an earlier run of this node started has gone: two on one store would ruin it. It goes by
 * itself; if nobody was connected when that run was killed, this look is what ends it (see `launchServer`).
 */
export async function awaitEarlierServer(
  earlier: { readonly url: string; readonly process: number | undefined },
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (await greets(earlier.url, name)) {
    if (performance.now() > deadline) {
      throw new HarmonyLiteError(
        "NATS_SERVER_RUNS",
        `Cannot start nats-server: that of an earlier run still listens at ${earlier.url}`,
        {
          hint: `End ${
            earlier.process === undefined ? "it" : `process ${earlier.process}, if it is a nats-server`
          }.`,
        },
      );
    }
    await sleep(PAUSE_MS, signal);
  }
}

/** Whether a NATS server of this name answers there. Any other program may have got the port meanwhile. */
async function greets(url: string, name: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  try {
    using connection = await Deno.connect({ hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port) });
    const buffer = new Uint8Array(4096);
    const reading = connection.read(buffer).catch(() => 0); // Closed below before it said anything.
    const late = new AbortController();
    const size = await Promise.race([reading, pause(GREETING_TIMEOUT_MS, late.signal)]) ?? 0;
    late.abort();
    const greeting = new TextDecoder().decode(buffer.subarray(0, size));
    return greeting.startsWith("INFO ") && greeting.includes(JSON.stringify(name));
  } catch {
    return false; // Nobody listens.
  }
}
