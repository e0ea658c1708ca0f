/**
 * An application on a machine whose clock is wrong: runs SQL in a process of its own, with a wall clock that is off by
 * what each step says. The triggers in its database ask SQLite for the time, with `julianday('now')`; here SQLite
 * answers what this process tells it to.
 *
 *     deno run -A tests/support/clocked_sql.ts shop.db '[[60000, "UPDATE …"], [-60000, "UPDATE …"]]'
 */
import { DatabaseSync } from "node:sqlite";
import { runProgram } from "./process.ts";

const BUSY_TIMEOUT_MS = 30_000;
const UNIX_EPOCH_JULIAN_DAY = 2440587.5;
const DAY_MS = 86_400_000;

/** How far the clock is ahead, in milliseconds, and what is written then. */
export type ClockedStep = readonly [offsetMs: number, sql: string];

/** Runs the steps in order, in one process on one connection. */
export async function runClockedSql(path: string, ...steps: readonly ClockedStep[]): Promise<void> {
  const program = new URL(import.meta.url).pathname;
  await runProgram(Deno.execPath(), ["run", "-A", "--quiet", program, path, JSON.stringify(steps)]);
}

function main([path, steps]: string[]): void {
  using db = new DatabaseSync(path!, { timeout: BUSY_TIMEOUT_MS });
  let offsetMs = 0;
  db.function("julianday", (text) => {
    if (text !== "now") throw new Error(`Cannot tell the time for "${text}"`);
    return UNIX_EPOCH_JULIAN_DAY + (Date.now() + offsetMs) / DAY_MS;
  });
  for (const [offset, sql] of JSON.parse(steps!) as ClockedStep[]) {
    offsetMs = offset;
    db.exec(sql);
  }
}

if (import.meta.main) main(Deno.args);
