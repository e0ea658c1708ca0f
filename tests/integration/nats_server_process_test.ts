import assert from "node:assert/strict";
import { awaitEarlierServer } from "../../src/nats/server_before.ts";
import { renderServerConfig, type ServerSettings } from "../../src/nats/server_config.ts";
import { type RunningServer, ServerEndedError } from "../../src/nats/server_launch.ts";
import { NatsServerProcess } from "../../src/nats/server_process.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, natsServerBinary } from "../support/nats_server.ts";
import { startProcess } from "../support/process.ts";
import { makeTempDir, type TempDir } from "../support/temp.ts";

interface Started {
  readonly server: NatsServerProcess;
  /** Each start, the first one too. */
  readonly starts: RunningServer[];
  readonly ends: string[];
}

async function start(
  dir: TempDir,
  settings: Partial<ServerSettings> = {},
  signal: AbortSignal = AbortSignal.timeout(60_000),
): Promise<Started> {
  const starts: RunningServer[] = [];
  const ends: string[] = [];
  const listen = settings.listen ?? { host: "127.0.0.1", port: -1 };
  const server = await NatsServerProcess.start({
    binary: await natsServerBinary(),
    configPath: dir.file("nats.conf"),
    inCluster: settings.cluster !== undefined,
    configure: async (port) => {
      const rendered = renderServerConfig({
        name: "test",
        monitor: undefined,
        storeDir: dir.file("store"),
        cluster: undefined,
        leafs: [],
        user: undefined,
        own: undefined,
        ...settings,
        listen: { ...listen, port: port ?? listen.port },
      });
      await Deno.writeTextFile(dir.file("nats.conf"), rendered);
    },
    onLine: () => {},
    onRunning: (running) => starts.push(running),
    onEnded: (reason) => ends.push(reason),
    signal,
  });
  return { server, starts, ends };
}

function isListening(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return false;
  } catch (error) {
    assert.ok(error instanceof Deno.errors.AddrInUse);
    return true;
  }
}

Deno.test("a server that is killed comes back on the port that it had, until it is stopped", async () => {
  await using dir = await makeTempDir();
  const { server, starts, ends } = await start(dir);
  const [{ port, process }] = starts as [RunningServer];
  assert.ok(port > 0 && isListening(port));
  for (let round = 1; round <= 2; round++) {
    Deno.kill(starts.at(-1)!.process, "SIGKILL");
    await eventually("it runs again", () => starts.length === round + 1);
    assert.equal(ends[round - 1], "ended by SIGKILL");
  }
  assert.notEqual(starts.at(-1)!.process, process);
  assert.equal(starts.at(-1)!.url, server.url);
  await server[Symbol.asyncDispose]();
  assert.equal(isListening(port), false);
  assert.equal(ends.length, 2);
});

Deno.test("a server that is stopped while it waits to be started again stays away", async () => {
  await using dir = await makeTempDir();
  const { server, starts, ends } = await start(dir);
  Deno.kill(starts[0]!.process, "SIGKILL");
  await eventually("the end is told", () => ends.length === 1);
  await server[Symbol.asyncDispose]();
  assert.equal(isListening(starts[0]!.port), false);
});

Deno.test("a port that another program leaves is taken, one that it keeps is an error", async () => {
  await using dir = await makeTempDir();
  const port = freePort();
  const neighbour = Deno.listen({ hostname: "127.0.0.1", port });
  const listen = { host: "127.0.0.1", port };
  await assert.rejects(start(dir, { listen }), (error) => {
    assert.ok(error instanceof ServerEndedError && error.isPortTaken);
    assert.match(error.message, /^Cannot start nats-server: .*address already in use/);
    return true;
  });
  const starting = start(dir, { listen });
  neighbour.close();
  const { server, starts } = await starting;
  assert.equal(starts[0]!.port, port);
  await server[Symbol.asyncDispose]();
});

Deno.test("a port of the cluster or of the monitor that is taken is an error of the start", async () => {
  await using dir = await makeTempDir();
  const neighbour = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const listen = { host: "127.0.0.1", port: neighbour.addr.port };
  const taken = /address already in use/;
  try {
    await Promise.all([
      assert.rejects(
        start(dir, { cluster: { listen, peers: [`nats://127.0.0.1:${freePort()}`] }, name: "a" }),
        taken,
      ),
      assert.rejects(start(await makeTempDir(dir.path), { monitor: listen, name: "b" }), taken),
    ]);
  } finally {
    neighbour.close();
  }
});

Deno.test("a configuration that the server does not understand fails at once, in its own words", async () => {
  await using dir = await makeTempDir();
  await Deno.writeTextFile(dir.file("own.conf"), 'max_payload: "much"\nmax_paylod: 1\n');
  const own = { path: dir.file("own.conf"), relativePath: "own.conf", settings: new Set<string>() };
  await assert.rejects(start(dir, { own }), /^ServerEndedError: Cannot start nats-server: .*own\.conf:1/);
});

Deno.test("a start that is given up leaves no server", async () => {
  await using dir = await makeTempDir();
  const stop = new AbortController();
  const port = freePort();
  const starting = start(dir, { listen: { host: "127.0.0.1", port } }, stop.signal);
  stop.abort(new Error("enough"));
  await assert.rejects(starting, /^Error: enough$/);
  assert.equal(isListening(port), false);
});

Deno.test("the server of an earlier run is waited for, and one of another name is none of our business", async () => {
  await using dir = await makeTempDir();
  const { server, starts } = await start(dir);
  const signal = AbortSignal.timeout(30_000);
  await awaitEarlierServer(starts[0]!, "other", signal);
  let isGone = false;
  const waiting = awaitEarlierServer(starts[0]!, "test", signal).then(() => isGone = true);
  await awaitEarlierServer(starts[0]!, "other", signal);
  assert.equal(isGone, false);
  await server[Symbol.asyncDispose]();
  await waiting;
});

Deno.test("a server dies with a process that is killed, at the latest when the next start looks for it", async () => {
  await using dir = await makeTempDir();
  for (const connects of [true, false]) {
    await using owner = startProcess({
      name: "owner",
      command: Deno.execPath(),
      args: ["run", "-A", new URL("./server_owner.ts", import.meta.url).pathname, dir.path, String(connects)],
    });
    const line = await owner.waitForLog(/^ready /);
    const [, url = "", pid = ""] = line.split(" ");
    await owner.kill("SIGKILL");
    const port = Number(new URL(url).port);
    if (!connects) {
      assert.ok(isListening(port));
      await awaitEarlierServer({ url, process: Number(pid) }, "test", AbortSignal.timeout(30_000));
    }
    await eventually("the port is free", () => !isListening(port));
  }
});
