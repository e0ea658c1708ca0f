import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { HarmonyLiteError } from "../lib/errors.ts";
import { unlessAbsent } from "../lib/files.ts";

/** Where `deno task compile` puts the server and its SHA-256 into the executable: beside the bundle that this module is in. */
const INSIDE = fileURLToPath(new URL("./nats-server", import.meta.url));

/** Where {@link unpackServer} puts the server; `folder` must be closed to others. */
export function unpackedServerPath(folder: string): string {
  return `${folder}/nats-server`;
}

/**
 * Unpacks the nats-server that the program carries into a folder that exists, unless it is there already, byte for byte.
 * Undefined when the program carries none. Several may do this at once, and any of them may be killed on the way.
 */
export async function unpackServer(folder: string, inside: string = INSIDE): Promise<string | undefined> {
  const expected = await Deno.readTextFile(`${inside}.sha256`).catch(unlessAbsent);
  if (expected === undefined) return undefined;
  const path = unpackedServerPath(folder);
  if (await digestOf(path).catch(unlessAbsent) === expected) return path;
  const temporary = `${path}.${Deno.pid}.tmp`;
  await Deno.remove(temporary).catch(unlessAbsent);
  await copy(inside, temporary);
  if (await digestOf(temporary) !== expected) {
    await Deno.remove(temporary);
    throw new HarmonyLiteError(
      "NATS_SERVER_DAMAGED",
      `Cannot unpack nats-server to "${path}": it is not what the program was built with`,
      { hint: "The program is damaged: install it again." },
    );
  }
  await Deno.rename(temporary, path);
  return path;
}

async function copy(from: string, to: string): Promise<void> {
  using source = await Deno.open(from);
  using target = await Deno.open(to, { write: true, createNew: true, mode: 0o700 });
  await source.readable.pipeTo(target.writable, { preventClose: true });
}

/** SHA-256 in hexadecimal digits. */
async function digestOf(path: string): Promise<string> {
  using file = await Deno.open(path);
  const hash = createHash("sha256");
  for await (const chunk of file.readable) hash.update(chunk);
  return hash.digest("hex");
}
