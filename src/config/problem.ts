import { ConfigError } from "../lib/errors.ts";

/** One thing that is wrong with what the user wrote. */
export interface Problem {
  /** File and line, or the name of a variable or option. */
  readonly where: string;
  /** Line in the file, for the order; 0 elsewhere. */
  readonly line: number;
  /** Dotted; empty when the file as a whole is meant. */
  readonly key: string;
  readonly text: string;
}

/** All problems in one error, one a line, in the order of the file. */
export function invalidConfiguration(problems: readonly Problem[]): ConfigError {
  const sorted = [...problems].sort((a, b) => a.line - b.line);
  const lines = sorted.map(({ where, key, text }) => `  ${where}: ${key === "" ? "" : `${key} `}${text}`);
  const count = lines.length === 1 ? "1 problem" : `${lines.length} problems`;
  return new ConfigError(`Invalid configuration, ${count}:\n${lines.join("\n")}`, {
    hint: "`harmonylite init` writes a file with every key and what it does; `harmonylite check` judges one.",
  });
}
