import { VERSION } from "../lib/version.ts";
import { sqliteVersion } from "../sqlite/version.ts";

/** `harmonylite 0.1.0 (deno 2.9.6, sqlite 3.53.2)`. */
export function renderVersion(): string {
  return `harmonylite ${VERSION} (deno ${Deno.version.deno}, sqlite ${sqliteVersion()})\n`;
}
