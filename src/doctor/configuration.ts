import { findPathProblems } from "../config/paths.ts";
import { type Check, fail, ok, warn } from "./check.ts";

/** Whether the configuration can be read, and means what its author meant. */
export const configuration: Check = {
  name: "configuration",
  run: async ({ inspected }) => {
    const { config, file, notes, problems, locate } = inspected;
    const paths = config.dbPath === "" ? [] : await findPathProblems(config);
    const wrong = [
      ...problems.toSorted((a, b) => a.line - b.line).map(({ where, key, text }) =>
        `${where}: ${key === "" ? "" : `${key} `}${text}`
      ),
      ...paths.map(({ key, text }) => `${locate(key).where}: ${key} cannot be used: ${text}`),
    ];
    if (wrong.length > 0) {
      return fail(
        wrong.length === 1 ? "Invalid configuration" : `Invalid configuration, ${wrong.length} problems`,
        file === undefined
          ? "Name the file with --config FILE, or write one with `harmonylite init`."
          : "Correct the lines that are named; `harmonylite check` judges the file again.",
        { details: wrong },
      );
    }
    const source = file ?? "environment and command line";
    const { publish, replicate } = config;
    if (!publish && !replicate) {
      return warn(
        `${source}: publish and replicate are both false, so this node does nothing`,
        "Set one of them to true.",
      );
    }
    return ok(`${source} is valid`, notes);
  },
};
