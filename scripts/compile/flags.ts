import type { Permissions } from "../../src/agent/permissions.ts";
import { ConfigError } from "../../src/lib/errors.ts";

/**
 * Keeps V8 from growing its young generation to some 60 MB under load, where half of it does as well, and lets it collect what is
 * old when there is a quarter more of it, not three times as much: 8 MB less, and up to 40.
 */
export const V8_FLAG = "--v8-flags=--max-semi-space-size=4,--heap-growing-percent=25";

/**
 * The options of `deno run` and `deno compile` that allow this and nothing else, and never ask. Other variables are not there
 * for the program: libraries look for settings of their own, which must not end it.
 */
export function permissionFlags(permissions: Permissions): string[] {
  const allowed = Object.entries(permissions).filter(([, values]) => values.length > 0);
  return [
    "--no-prompt",
    "--ignore-env",
    ...allowed.map(([name, values]) => `--allow-${name}=${values.map(checked).join(",")}`),
  ];
}

/** Deno separates by commas, and knows no way to write one. */
function checked(value: string): string {
  if (!value.includes(",")) return value;
  throw new ConfigError(`Cannot lock the program to "${value}": it holds a comma`, {
    hint: "Give the file or folder another name.",
  });
}

export function quoteForShell(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
