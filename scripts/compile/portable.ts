import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { runToEnd } from "./run_to_end.ts";

export interface PortableFacts {
  readonly version: string;
  /** Such as `x86_64-unknown-linux-gnu`. */
  readonly target: string;
}

/** Digits of the checksum in the name of the folder: enough to tell builds apart. */
const KEY_DIGITS = 16;
const LAUNCHER = new URL("./launcher.sh", import.meta.url);

/**
 * Writes one file that runs on any Linux of the target with a POSIX shell, tail, tar, gzip and sha256sum: a script that
 * unpacks what is in `folder` and starts it. `folder` holds the runtime as `harmonylite`, `nats-server`, `plan.js`, `entry.js`
 * and whatever they import, and no folders.
 */
export async function writePortable(output: string, folder: string, facts: PortableFacts): Promise<void> {
  const archive = `${folder}.tar.gz`;
  // Nothing of the machine that builds: the same content gives the same file.
  await runToEnd("tar", [
    ...["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"],
    ...["--use-compress-program=gzip -6n", "--file", archive, "--directory", folder, "."],
  ]);
  const sha256 = await digestOf(archive);
  const launcher = renderLauncher(await Deno.readTextFile(LAUNCHER), { ...facts, sha256 });
  const temporary = `${output}.${Deno.pid}.tmp`;
  await Deno.writeTextFile(temporary, launcher, { mode: 0o755 });
  using target = await Deno.open(temporary, { append: true });
  using source = await Deno.open(archive);
  await source.readable.pipeTo(target.writable, { preventClose: true });
  await Deno.chmod(temporary, 0o755);
  await Deno.rename(temporary, output);
}

function renderLauncher(text: string, facts: PortableFacts & { readonly sha256: string }): string {
  const values: Record<string, string> = {
    VERSION: facts.version,
    TARGET: facts.target,
    SHA256: facts.sha256,
    NAME: `${facts.version}-${facts.sha256.slice(0, KEY_DIGITS)}`,
    // The archive begins where the script ends.
    LINE: String(text.split("\n").length),
  };
  return text.replaceAll(/@([A-Z0-9]+)@/g, (_, name: string) => values[name] ?? "");
}

/** SHA-256 in hexadecimal digits. */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}
