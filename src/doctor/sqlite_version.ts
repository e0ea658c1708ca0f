import { messageOf } from "../lib/errors.ts";
import { findProgram, mayRunPrograms } from "../lib/programs.ts";
import { isAtLeast, MIN_SQLITE, sqliteVersion } from "../sqlite/version.ts";
import { type Check, ok, warn } from "./check.ts";

/** Our own SQLite, and the `sqlite3` program: applications of this machine often have that one's. */
export const version: Check = {
  name: "sqlite_version",
  run: async (_patient, signal) => {
    const own = `SQLite ${sqliteVersion()} inside this program`;
    if (!mayRunPrograms()) return ok(`${own}; that of the sqlite3 program: sqlite3 --version`);
    const program = findProgram("sqlite3");
    if (program === undefined) return ok(`${own}; there is no sqlite3 program on PATH`);
    const told = await versionOf(program, signal);
    if (!/^\d+\.\d+/.test(told)) return ok(`${own}; ${program} does not tell its version (${told})`);
    if (isAtLeast(told, MIN_SQLITE)) return ok(`${own}; ${program} is ${told}`);
    return warn(
      `${program} is SQLite ${told}, older than ${MIN_SQLITE}`,
      "An application with such a library cannot write to the replicated tables: update it.",
    );
  },
};

async function versionOf(program: string, signal: AbortSignal): Promise<string> {
  try {
    const { stdout } = await new Deno.Command(program, { args: ["--version"], stdin: "null", signal })
      .output();
    return new TextDecoder().decode(stdout).split(/\s/)[0] ?? "";
  } catch (error) {
    signal.throwIfAborted();
    return messageOf(error);
  }
}
