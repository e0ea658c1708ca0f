import { problemsOf } from "../observe/health.ts";
import { durationText } from "../lib/quantities.ts";
import { type Check, fail, ok, skipped, warn } from "./check.ts";

/** Whether the node runs, here or where only NATS can see it, and all of it does. */
export const node: Check = {
  name: "node",
  run: async (patient, signal) => {
    const { config, process } = patient;
    if (config.dbPath === "") return skipped("the configuration does not say where the database is");
    const status = await patient.askOwn(signal);
    const problems = status === undefined ? [] : problemsOf(status);
    if (problems.length > 0) {
      return fail(
        `Node ${config.nodeId} runs, and is not well: ${problems[0]}`,
        "The checks below may say more, as does its log; a restart does no harm.",
        { details: problems },
      );
    }
    const phase = status === undefined ? "" : `, ${status.phase.replace("_", " ")}`;
    if (process !== undefined) {
      return ok(`Node ${config.nodeId} runs${sinceOf(process)}, process ${process}${phase}`);
    }
    if (status !== undefined) {
      const { host, process } = status;
      return ok(`Node ${config.nodeId} runs, but not in sight: it is process ${process} of ${host}${phase}`);
    }
    const derived = config.nodeIdDerivedFrom === undefined
      ? ""
      : `, its id derived from ${config.nodeIdDerivedFrom}`;
    return warn(
      `Node ${config.nodeId} does not run${derived}`,
      "Start it: systemctl start harmonylite, or `harmonylite run`; what is captured meanwhile is sent then.",
    );
  },
};

function sinceOf(process: number): string {
  try {
    const startedMs = Deno.statSync(`/proc/${process}`).ctime?.getTime();
    return startedMs === undefined ? "" : ` for ${durationText(Date.now() - startedMs)}`;
  } catch {
    return ""; // The system does not tell.
  }
}
