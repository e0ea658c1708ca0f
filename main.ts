import { main } from "./src/cli/cli.ts";
import { EXIT } from "./src/cli/io.ts";

/** Standard output and standard error are written at once: nothing is lost when the process exits. */
function writer(target: { writeSync(bytes: Uint8Array): number }): { write(text: string): void } {
  return {
    write: (text) => {
      const bytes = new TextEncoder().encode(text);
      for (let done = 0; done < bytes.length;) done += target.writeSync(bytes.subarray(done));
    },
  };
}

/** Runs the program to its end, which is that of the process. */
export async function start(): Promise<never> {
  const stopping = new AbortController();
  const stop = (): void => {
    // The first signal asks to end in good order; whoever sends a second one does not want to wait.
    if (stopping.signal.aborted) Deno.exit(EXIT.interrupted);
    stopping.abort();
  };
  Deno.addSignalListener("SIGINT", stop);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", stop);
  const io = { stdout: writer(Deno.stdout), stderr: writer(Deno.stderr), signal: stopping.signal };
  return Deno.exit(await main(Deno.args, io));
}

if (import.meta.main) await start();
