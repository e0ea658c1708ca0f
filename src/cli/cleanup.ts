import { secretsOf } from "../config/config.ts";
import { openLogger } from "../observe/logger.ts";
import type { ConfigChoice } from "./command.ts";
import type { Io } from "./io.ts";
import { loadChoice } from "./check.ts";

/** Takes HarmonyLite out of the database again. */
export async function cleanup(
  command: { readonly choice: ConfigChoice; readonly all: boolean; readonly discardPending: boolean },
  { signal, stdout }: Io,
): Promise<void> {
  const { choice, all, discardPending } = command;
  const { config } = await loadChoice(choice);
  await using logger = await openLogger({ ...config.logging, secrets: secretsOf(config) });
  const { cleanUp } = await import("../agent/cleanup.ts");
  await cleanUp(config, { all, discardPending, signal, logger });
  stdout.write(`Cleaned up ${config.dbPath}\n`);
}
