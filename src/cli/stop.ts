import { stopNode } from "../agent/stop_request.ts";
import { loadChoice } from "./check.ts";
import type { ConfigChoice } from "./command.ts";
import type { Io } from "./io.ts";

/** Stops the running node of a database. None is needed to run: whoever stops it wants it stopped. */
export async function stop(choice: ConfigChoice, { stdout, signal }: Io): Promise<void> {
  const { dbPath } = (await loadChoice(choice)).config;
  const stopped = await stopNode(dbPath, { signal });
  if (stopped === undefined) return stdout.write(`No node runs on ${dbPath}.\n`);
  const who = stopped.process === undefined ? "The node" : `The node (process ${stopped.process})`;
  stdout.write(`${who} on ${dbPath} has stopped.\n`);
}
