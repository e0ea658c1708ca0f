/**
 * The servers that snapshot stores and metrics are tested against: found on PATH or in the cache, else fetched into the cache: built by
 * Go, or unpacked from Debian's packages. Nothing is installed.
 */
import { messageOf } from "../../src/lib/errors.ts";
import { findProgram } from "../../src/lib/programs.ts";
import { defaultCacheDir } from "../../src/nats/server_binary.ts";
import { runProgram } from "./process.ts";

export interface Options {
  /** Takes one line for each step. */
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** One way to a program; throws when it does not lead there. */
export interface Way {
  readonly name: string;
  readonly find: (signal?: AbortSignal) => string | Promise<string>;
}

const MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c";
const RCLONE_VERSION = "v1.76.0";

/** An S3 server. Go builds it in five minutes on two cores, once. */
export function findMinio(options: Options = {}): Promise<string> {
  const cached = `minio-${MINIO_VERSION.slice(-12)}`;
  return findFirst("minio", options, [
    { name: "PATH", find: () => onPath("minio") },
    { name: "cache", find: () => inCache(cached) },
    {
      name: "go install",
      find: (signal) => buildWithGo("github.com/minio/minio", MINIO_VERSION, cached, signal),
    },
  ]);
}

/** A WebDAV server. Debian's is older but there in seconds. */
export function findRclone(options: Options = {}): Promise<string> {
  const cached = `rclone-${RCLONE_VERSION}`;
  return findFirst("rclone", options, [
    { name: "PATH", find: () => onPath("rclone") },
    { name: "cache", find: () => inCache(cached) },
    { name: "cache", find: () => inCache("rclone-debian/usr/bin/rclone") },
    { name: "Debian package", find: () => unpack(["rclone"], "rclone-debian", "usr/bin/rclone") },
    {
      name: "go install",
      find: (signal) => buildWithGo("github.com/rclone/rclone", RCLONE_VERSION, cached, signal),
    },
  ]);
}

const SSHD = "usr/sbin/sshd";
const SSH_PACKAGES = [
  "openssh-client",
  "openssh-server",
  "openssh-sftp-server",
  "libwrap0",
  "libnss-wrapper",
];

/**
 * Folder with OpenSSH as Debian lays it out (`usr/sbin/sshd`, `usr/lib/openssh/sftp-server`, `usr/bin/ssh-keygen`) and with
 * libnss-wrapper, which lets it know users of a test.
 */
export async function findOpenSsh(options: Options = {}): Promise<string> {
  const sshd = await findFirst("openssh-server", options, [
    { name: "cache", find: () => inCache(`openssh-debian/${SSHD}`) },
    { name: "Debian package", find: () => unpack(SSH_PACKAGES, "openssh-debian", SSHD) },
  ]);
  return sshd.slice(0, -SSHD.length - 1);
}

const PROMETHEUS = "usr/bin/prometheus";

/** Folder with Prometheus as Debian lays it out: `usr/bin/prometheus`, `usr/bin/promtool`. */
export async function findPrometheus(options: Options = {}): Promise<string> {
  const prometheus = await findFirst("prometheus", options, [
    { name: "cache", find: () => inCache(`prometheus-debian/${PROMETHEUS}`) },
    { name: "Debian package", find: () => unpack(["prometheus"], "prometheus-debian", PROMETHEUS) },
  ]);
  return prometheus.slice(0, -PROMETHEUS.length - 1);
}

/** All of them, so that the tests find them in the cache. */
export async function fetchServerPrograms(options: Options): Promise<void> {
  await findPrometheus(options);
  await findOpenSsh(options);
  await findRclone(options);
  await findMinio(options);
}

export async function findFirst(
  program: string,
  { log = () => {}, signal }: Options,
  ways: readonly Way[],
): Promise<string> {
  const attempts: string[] = [];
  for (const { name, find } of ways) {
    signal?.throwIfAborted();
    const start = performance.now();
    try {
      const path = await find(signal);
      const seconds = Math.round((performance.now() - start) / 1000);
      log(`${program}: ${name}: ${path}${seconds > 0 ? `, after ${seconds} s` : ""}`);
      return path;
    } catch (error) {
      attempts.push(`${program}: ${name}: ${messageOf(error).trim().split("\n").at(-1)}`);
      log(attempts.at(-1) ?? "");
    }
  }
  throw new Error(`Cannot find or fetch ${program}:\n${attempts.join("\n")}`);
}

export function onPath(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Error("not there");
  return path;
}

export async function inCache(name: string): Promise<string> {
  const path = `${defaultCacheDir()}/${name}`;
  const info = await Deno.stat(path).catch(() => undefined);
  if (!info?.isFile) throw new Error(`no ${name} in ${defaultCacheDir()}`);
  return path;
}

/** Go checks the module against its public checksum database. */
async function buildWithGo(
  module: string,
  version: string,
  cached: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const go = onPath("go");
  return await place(cached, async (dir) => {
    const env = { GOBIN: dir, GOFLAGS: "-trimpath", CGO_ENABLED: "0" };
    await runProgram(go, ["install", `${module}@${version}`], { env, ...signal && { signal } });
    return `${dir}/${module.split("/").at(-1)}`;
  });
}

async function unpack(packages: readonly string[], cached: string, program: string): Promise<string> {
  onPath("dpkg-deb");
  const apt = onPath("apt-get");
  const root = await place(cached, async (dir) => {
    const fetchPackages = (): Promise<string> => runProgram(apt, ["download", ...packages], { cwd: dir });
    await fetchPackages().catch(async (error) => {
      if (Deno.uid() !== 0) throw error;
      await runProgram(apt, ["update"]); // A fresh machine has no package lists yet.
      await fetchPackages();
    });
    for await (const { name } of Deno.readDir(dir)) {
      if (name.endsWith(".deb")) await runProgram("dpkg-deb", ["-x", `${dir}/${name}`, `${dir}/root`]);
    }
    return `${dir}/root`;
  });
  return `${root}/${program}`;
}

/** Runs `make` in an empty folder of the cache and moves what it names into place, in one step. */
export async function place(cached: string, make: (dir: string) => Promise<string>): Promise<string> {
  const cacheDir = await Deno.realPath(defaultCacheDir()).catch(async () => {
    await Deno.mkdir(defaultCacheDir(), { recursive: true });
    return await Deno.realPath(defaultCacheDir());
  });
  const dir = await Deno.makeTempDir({ dir: cacheDir, prefix: "fetching-" });
  try {
    const made = await make(dir);
    const path = `${cacheDir}/${cached}`;
    await Deno.rename(made, path).catch(async (error) => {
      // Another process has put a folder there meanwhile.
      if (!(await Deno.stat(path)).isDirectory) throw error;
    });
    return path;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
