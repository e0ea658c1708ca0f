import { findProgram } from "../../src/lib/programs.ts";
import { defaultCacheDir } from "../../src/nats/server_binary.ts";
import { runProgram } from "./process.ts";

/** The npm package that carries the source of SQLite 3.35.2, an old one that drivers of 2021 have inside. */
const PACKAGE = { name: "better-sqlite3", version: "7.4.0" } as const;
const PACKAGE_SHA256 = "d926a8d2da36f42ae1b004553b8412de3b82db5e2894b61e2ed88a123b5adfa3";
export const OLD_SQLITE_VERSION = "3.35.2";

const SOURCE = new URL("./old_application.c", import.meta.url);
const COMPILERS = ["cc", "gcc", "clang"];
const COMPILER_ARGUMENTS = [
  "-O0", // Compiled in a third of the time, and fast enough.
  "-w",
  "-DSQLITE_THREADSAFE=0",
  "-DSQLITE_OMIT_LOAD_EXTENSION",
  "-DSQLITE_ENABLE_FTS5",
  "-DHAVE_USLEEP=1", // Without it every wait for a lock takes a second.
];

let ready: Promise<string> | undefined;

/**
 * Runs statements as an application does whose SQLite is {@link OLD_SQLITE_VERSION}: in a process of its own. Returns its
 * lines: rows with columns parted by `|`, and `error: …` for each statement that failed, after which it goes on.
 */
export async function runOldSql(path: string, sql: string): Promise<string[]> {
  ready ??= findOldApplication();
  const lines = (await runProgram(await ready, [path], { input: sql })).split("\n");
  return lines.slice(0, -1);
}

/** The compiled program; it is made from source when the cache does not have it. */
async function findOldApplication(): Promise<string> {
  const recipe = `${await Deno.readTextFile(SOURCE)}${COMPILER_ARGUMENTS}`;
  const digest = (await sha256(new TextEncoder().encode(recipe))).slice(0, 8);
  const cacheDir = defaultCacheDir();
  const path = `${cacheDir}/application-sqlite-${OLD_SQLITE_VERSION}-${digest}`;
  const info = await Deno.stat(path).catch(() => undefined); // Not there yet is what is asked.
  if (info?.isFile) return path;
  await Deno.mkdir(cacheDir, { recursive: true });
  const dir = await Deno.makeTempDir({ dir: cacheDir, prefix: "building-" });
  try {
    await unpackSource(dir);
    await compile(dir);
    await Deno.rename(`${dir}/application`, path);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  console.log(`SQLite ${OLD_SQLITE_VERSION}: built from ${PACKAGE.name} ${PACKAGE.version} of npm: ${path}`);
  return path;
}

/** Puts `sqlite3.c` and `sqlite3.h` into the folder. */
async function unpackSource(dir: string): Promise<void> {
  const npm = requireProgram(["npm"], "to fetch it");
  const { name, version } = PACKAGE;
  await runProgram(npm, ["pack", `${name}@${version}`, "--silent", "--pack-destination", dir], { cwd: dir });
  const archive = `${dir}/${name}-${version}.tgz`;
  const actual = await sha256(await Deno.readFile(archive));
  if (actual !== PACKAGE_SHA256) {
    throw new Error(`Cannot use ${name} ${version}: its SHA-256 is ${actual}, not ${PACKAGE_SHA256}`);
  }
  await runProgram("tar", ["-xzf", archive, "-C", dir, "package/deps/sqlite3.tar.gz"]);
  await runProgram("tar", ["-xzf", `${dir}/package/deps/sqlite3.tar.gz`, "-C", dir]);
}

async function compile(dir: string): Promise<void> {
  const compiler = requireProgram(COMPILERS, "to compile it");
  await runProgram(compiler, [
    ...COMPILER_ARGUMENTS,
    "-I",
    dir,
    SOURCE.pathname,
    `${dir}/sqlite3.c`,
    "-lm",
    "-o",
    `${dir}/application`,
  ]);
}

function requireProgram(names: readonly string[], purpose: string): string {
  const path = names.map((name) => findProgram(name)).find((found) => found !== undefined);
  if (path !== undefined) return path;
  throw new Error(
    `Cannot have SQLite ${OLD_SQLITE_VERSION}: ${names.join(", ")} is needed ${purpose}, none is on PATH`,
  );
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
