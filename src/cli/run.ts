import type { LoadedConfig } from "../config/load.ts";
import { secretsOf } from "../config/config.ts";
import { type Logger, openLogger } from "../observe/logger.ts";
import { loadChoice, requirePaths } from "./check.ts";
import type { ConfigChoice } from "./command.ts";
import type { Io } from "./io.ts";

/** Replicates until the signal asks it to end, or the process has slept for long enough. */
export async function run(choice: ConfigChoice, { signal }: Io): Promise<void> {
  const loaded = await loadChoice(choice);
  await requirePaths(loaded, { withDatabase: false });
  await using logger = await openLogger({ ...loaded.config.logging, secrets: secretsOf(loaded.config) });
  announce(loaded, logger);
  const { runNode } = await import("../agent/node.ts");
  try {
    await runNode(loaded.config, { signal, logger });
  } catch (error) {
    // To be asked to end is no failure, whoever reports it.
    if (!signal.aborted || error !== signal.reason) {
      logger.error("HarmonyLite has failed", { error }); // The log file must tell it too.
      throw error;
    }
  }
  logger.info("HarmonyLite has stopped");
}

function announce({ config, file, notes }: LoadedConfig, logger: Logger): void {
  const derived = config.nodeIdDerivedFrom;
  logger.info("Starting HarmonyLite", { node: config.nodeId, database: config.dbPath, config: file });
  if (derived !== undefined) {
    logger.info("No node_id is set: it was derived", { node: config.nodeId, from: derived });
  }
  for (const note of notes) logger.info(note);
}
