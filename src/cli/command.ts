import type { Override } from "../config/sources.ts";
import { HarmonyLiteError } from "../lib/errors.ts";

/** Which configuration a command works with. */
export interface ConfigChoice {
  /** Undefined: sought at the usual places. */
  readonly path: string | undefined;
  readonly overrides: readonly Override[];
}

/** Everything that the program can be asked to do; whatever is not one of these is a usage error. */
export type Command =
  | { readonly name: "run"; readonly choice: ConfigChoice }
  | { readonly name: "check"; readonly choice: ConfigChoice }
  | { readonly name: "stop"; readonly choice: ConfigChoice }
  | {
    readonly name: "cleanup";
    readonly choice: ConfigChoice;
    readonly all: boolean;
    readonly discardPending: boolean;
  }
  | {
    readonly name: "conflicts";
    readonly action: "list";
    readonly choice: ConfigChoice;
    readonly json: boolean;
    /** Of this table only. */
    readonly table: string | undefined;
    readonly limit: number;
  }
  | {
    readonly name: "conflicts";
    readonly action: "restore";
    readonly choice: ConfigChoice;
    readonly id: bigint;
    readonly replace: boolean;
  }
  | {
    readonly name: "init";
    readonly path: string;
    readonly force: boolean;
    readonly overrides: readonly Override[];
  }
  | DoctorCommand
  | IdsCommand
  | SnapshotCommand
  | {
    readonly name: "status";
    readonly choice: ConfigChoice;
    /** Again and again, until interrupted. */
    readonly watch: boolean;
    readonly json: boolean;
  }
  | {
    readonly name: "schema";
    readonly choice: ConfigChoice;
    /** Also those of the other nodes. */
    readonly cluster: boolean;
    readonly json: boolean;
  }
  | {
    readonly name: "verify";
    readonly choice: ConfigChoice;
    readonly repair: boolean;
    readonly json: boolean;
  }
  | { readonly name: "version" }
  | { readonly name: "help"; readonly topic: CommandName | undefined };

export interface DoctorCommand {
  readonly name: "doctor";
  readonly choice: ConfigChoice;
  readonly json: boolean;
  readonly fix: boolean;
  /** Write an archive for those who help to this file. */
  readonly bundle: string | undefined;
}

/** Which ids a node takes, unless its node_id says so. */
export interface RangeChoice {
  readonly first: bigint | undefined;
  readonly last: bigint | undefined;
}

export type IdsCommand =
  & { readonly name: "ids"; readonly choice: ConfigChoice; readonly range: RangeChoice }
  & (
    | { readonly action: "list"; readonly json: boolean }
    | { readonly action: "set"; readonly table: string }
  );

export type SnapshotCommand =
  & { readonly name: "snapshot"; readonly choice: ConfigChoice; readonly json: boolean }
  & (
    | { readonly action: "save" }
    | { readonly action: "list" }
    /** Undefined: all of them. */
    | { readonly action: "verify"; readonly generation: string | undefined }
    | { readonly action: "download" } & SnapshotOutput
    | { readonly action: "restore"; readonly until: bigint | undefined } & SnapshotOutput
  );

/** Which snapshot is written where. */
export interface SnapshotOutput {
  /** Its number in the list, 1 is the newest; or its name. Undefined where a moment chooses it. */
  readonly generation: string | undefined;
  readonly output: string;
  readonly force: boolean;
}

export type CommandName = Command["name"];

/** The command line cannot be understood; nothing was done. */
export class UsageError extends HarmonyLiteError {
  override name = "UsageError";

  constructor(message: string, hint = "`harmonylite help` lists commands and options.") {
    super("USAGE", message, { hint });
  }
}

/** What each command does, in the order of the help. */
export const COMMANDS: Readonly<Record<CommandName, string>> = {
  run: "Replicate the database until stopped. The default.",
  stop: "Ask the running node of this database to send what is pending and end, and wait until it has.",
  status: "Show how this node and the others are doing, whether it runs or not.",
  check: "Judge the configuration and end.",
  doctor: "Examine this node and its cluster: what is wrong, and what to do.",
  verify: "Compare the rows of this node, which must be running, with those of all others.",
  snapshot:
    "Take a snapshot (save), list them, verify them, download one (download), or write one to a new file (restore).",
  schema: "Show which tables are replicated (status), and with --cluster how other nodes' differ from them.",
  conflicts: "Show the newest overridden writes (list), or put one back as a new write (restore ID).",
  ids:
    "Show the range of ids for new rows of this node (list), or let AUTOINCREMENT go on in it (set TABLE).",
  cleanup: "Send what is pending, remove triggers and change logs from the database, and end.",
  init: "Write an annotated configuration file (config.toml unless FILE is given).",
  version: "Print the version.",
  help: "Print this, or the options of one command.",
};
