/**
 * What it costs to put an object into each store and to get it back: time, and the resident memory of a process that does
 * nothing else. Against real servers on this machine.
 *
 *     deno run -A tests/bench/snapshot_stores.ts                2048 MB, all stores
 *     deno run -A tests/bench/snapshot_stores.ts 500 s3 sftp    500 MB, chosen stores
 */
import { connectToNats } from "../../src/nats/connection.ts";
import { openStore } from "../../src/snapshot/open_store.ts";
import { messageOf } from "../../src/lib/errors.ts";
import { configOf } from "../contract/snapshot_store_lab.ts";
import { runProgram } from "../support/process.ts";
import { processFigures } from "./process_figures.ts";

const SOURCE_BYTES = 256 << 10;
const DEFAULT_MB = 2_048;
const NAME = "bench.db";

interface ChildFigures {
  readonly seconds: number;
  readonly startMb: number;
  readonly peakMb: number;
}

async function main(args: readonly string[]): Promise<number> {
  if (args[0] === "--child") return await runChild(args.slice(1));
  // Here, as the child must not load the client of each store.
  const { STORE_LABS } = await import("../contract/store_labs.ts");
  const megabytes = Number(args[0] ?? DEFAULT_MB);
  const kinds = args.length > 1 ? args.slice(1) : Object.keys(STORE_LABS);
  for (const kind of kinds) {
    const start = STORE_LABS[kind];
    if (start === undefined) {
      throw new Error(`no such store: ${kind}; there are ${Object.keys(STORE_LABS).join(", ")}`);
    }
    await using lab = await start();
    for (const verb of ["put", "get"]) {
      const { seconds, startMb, peakMb } = await measure(verb, lab.toml("bench"), megabytes);
      const rate = (megabytes / seconds).toFixed(0);
      const memory = `resident ${peakMb.toFixed(0)} MB at most, ${startMb.toFixed(0)} before`;
      console.log(
        `${kind.padEnd(6)} ${verb} ${megabytes} MB: ${seconds.toFixed(1)} s, ${rate} MB/s, ${memory}`,
      );
    }
  }
  return 0;
}

/** In a process of its own, as the most that was resident cannot be reset. */
async function measure(verb: string, toml: string, megabytes: number): Promise<ChildFigures> {
  const script = new URL(import.meta.url).pathname;
  const args = ["run", "-A", "--frozen", "--no-check", script, "--child", verb, String(megabytes), toml];
  return JSON.parse(await runProgram(Deno.execPath(), args)) as ChildFigures;
}

async function runChild([verb, megabytes, toml = ""]: readonly string[]): Promise<number> {
  const size = Number(megabytes) * (1 << 20);
  const signal = new AbortController().signal;
  await using stack = new AsyncDisposableStack();
  const config = configOf(toml);
  const store = await openStore(config, async () => {
    const { urls, userName, userPassword } = config.nats;
    const options = {
      urls,
      userName,
      userPassword,
      connectRetries: 1,
      reconnectWaitSeconds: 0,
      name: "bench",
    };
    const connection = await connectToNats(options, { signal });
    stack.defer(() => connection.close());
    return connection;
  });
  stack.use(store);
  const startMb = processFigures(Deno.pid)?.residentMb;
  const start = performance.now();
  if (verb === "put") await store.put(NAME, source(size), { size, signal });
  else await drain((await store.get(NAME, signal))?.content, size);
  const seconds = (performance.now() - start) / 1000;
  console.log(JSON.stringify({ seconds, startMb, peakMb: processFigures(Deno.pid)?.peakMb }));
  return 0;
}

/** As a file is read: through one buffer. */
async function* source(size: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(SOURCE_BYTES);
  for (let left = size; left > 0; left -= SOURCE_BYTES) {
    crypto.getRandomValues(buffer.subarray(0, 65_536));
    yield await Promise.resolve(buffer.subarray(0, Math.min(left, SOURCE_BYTES)));
  }
}

async function drain(content: AsyncIterable<Uint8Array> | undefined, size: number): Promise<void> {
  let received = 0;
  for await (const chunk of content ?? []) received += chunk.length;
  if (received !== size) throw new Error(`got ${received} of ${size} bytes`);
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(messageOf(error));
    Deno.exit(1);
  }
}
