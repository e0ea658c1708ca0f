import { parseArgs } from "node:util";
import type { Override } from "../config/sources.ts";
import { DEFAULT_LIMIT, OPTIONS } from "./options.ts";
import { HarmonyLiteError } from "../lib/errors.ts";
import { nearest } from "../lib/nearest.ts";

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
  verify: "Compare the rows of this node, which must be running, with those of all others.",
  snapshot:
    "Take a snapshot (save), list them, verify them, download one (download), or write one to a new file (restore).",
  schema: "Show which tables are replicated (status), and with --cluster how other nodes' differ from them.",
  conflicts: "Show the newest overridden writes (list), or put one back as a new write (restore ID).",
  cleanup: "Send what is pending, remove triggers and change logs from the database, and end.",
  init: "Write an annotated configuration file (config.toml unless FILE is given).",
  version: "Print the version.",
  help: "Print this, or the options of one command.",
};

/** Options of the Go original that stand for a command, its first word and perhaps an option. */
const FORMER_OPTIONS: Readonly<Record<string, readonly [CommandName, string, string?]>> = {
  "save-snapshot": ["snapshot", "save"],
  "schema-status": ["schema", "status"],
  "schema-status-cluster": ["schema", "status", "cluster"],
};

/** Throws {@link UsageError}. No arguments mean `run`. */
export function parseCommand(args: readonly string[]): Command {
  const line = readLine(args);
  const name = line.commands[0] ?? "run";
  const other = line.commands.find((command) => command !== name);
  if (other !== undefined) throw new UsageError(`Cannot do "${name}" and "${other}" at once`);
  for (const { option } of line.options) requireOption(name, option);
  return makeCommand(name, line);
}

/** The command line in its parts. */
interface Line {
  /** As words or as options. */
  readonly commands: readonly CommandName[];
  /** What follows the command. */
  readonly words: readonly string[];
  readonly options: readonly { readonly option: string; readonly text: string }[];
}

function makeCommand(name: CommandName, line: Line): Command {
  const words = [...line.words];
  const command = ((): Command => {
    const has = (wanted: string): boolean =>
      line.options.findLast(({ option }) => option === wanted)?.text === "true";
    switch (name) {
      case "run":
      case "stop":
      case "check":
        return { name, choice: chooseConfig(line) };
      case "cleanup":
        return { name, choice: chooseConfig(line), all: has("all"), discardPending: has("discard-pending") };
      case "verify":
        return { name, choice: chooseConfig(line), repair: has("repair"), json: has("json") };
      case "status":
        return { name, choice: chooseConfig(line), watch: has("watch"), json: has("json") };
      case "schema": {
        const action = words.shift() ?? "status";
        if (action !== "status") throw unknown("action of schema", action, ["status"]);
        return { name, choice: chooseConfig(line), cluster: has("cluster"), json: has("json") };
      }
      case "conflicts":
        return makeConflicts(line, words);
      case "snapshot":
        return makeSnapshot(line, words);
      case "init":
        return {
          name,
          path: words.shift() ?? "config.toml",
          force: has("force"),
          overrides: overridesOf(line),
        };
      case "version":
        return { name };
      case "help":
        return { name, topic: readTopic(words.shift()) };
    }
  })();
  if (words.length > 0) {
    throw new UsageError(`Cannot understand "${words[0]}": ${name} takes no such argument`);
  }
  return command;
}

/** `conflicts`, `conflicts list`, `conflicts restore 12`. Takes the words that it understands. */
function makeConflicts(line: Line, words: string[]): Extract<Command, { name: "conflicts" }> {
  const name = "conflicts";
  const choice = chooseConfig(line);
  const action = words.shift() ?? "list";
  if (action === "list") {
    refuse(line, `${name} ${action}`, "replace");
    const limit = readCount("--limit", valueOf(line, "limit") ?? String(DEFAULT_LIMIT));
    const json = valueOf(line, "json") === "true";
    return { name, action, choice, json, table: valueOf(line, "table"), limit };
  }
  if (action === "restore") {
    refuse(line, `${name} ${action}`, "json", "table", "limit");
    const id = BigInt(readCount("the number of a conflict", words.shift() ?? ""));
    return { name, action, choice, id, replace: valueOf(line, "replace") === "true" };
  }
  throw unknown("action of conflicts", action, ["list", "restore"]);
}

const SNAPSHOT_ACTIONS = ["save", "list", "verify", "download", "restore"];

/** `snapshot`, `snapshot list`, `snapshot restore --generation 2 --output FILE`. Takes the words that it understands. */
function makeSnapshot(line: Line, words: string[]): SnapshotCommand {
  const action = words.shift() ?? "list";
  const common = {
    name: "snapshot",
    choice: chooseConfig(line),
    json: valueOf(line, "json") === "true",
  } as const;
  const what = `${common.name} ${action}`;
  const generation = valueOf(line, "generation");
  switch (action) {
    case "save":
    case "list":
      refuse(line, what, "generation", "output", "force", "until");
      return { ...common, action };
    case "verify":
      refuse(line, what, "output", "force", "until");
      return { ...common, action, generation };
    case "download":
      refuse(line, what, "until");
      return { ...common, action, generation: generation ?? "1", ...outputOf(line, what) };
    case "restore": {
      const until = valueOf(line, "until");
      if (generation === undefined && until === undefined) {
        throw new UsageError(`Cannot do "${what}": it needs --generation N or --until TIME`);
      }
      const moment = until === undefined ? undefined : readMoment(until);
      return { ...common, action, generation, until: moment, ...outputOf(line, what) };
    }
    default:
      throw unknown("action of snapshot", action, SNAPSHOT_ACTIONS);
  }
}

function outputOf(line: Line, what: string): Pick<SnapshotOutput, "output" | "force"> {
  const output = valueOf(line, "output");
  if (output === undefined) throw new UsageError(`Cannot do "${what}": it needs --output FILE`);
  return { output, force: valueOf(line, "force") === "true" };
}

/** Unix nanoseconds. */
function readMoment(text: string): bigint {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : NaN;
  if (!Number.isNaN(ms)) return BigInt(ms) * 1_000_000n;
  throw new UsageError(
    `Cannot understand "${text}": a moment is written 2026-11-21T15:54:03Z, with its time zone`,
  );
}

function valueOf({ options }: Line, wanted: string): string | undefined {
  return options.findLast(({ option }) => option === wanted)?.text;
}

/** Some options go with other actions of a command only. */
function refuse(line: Line, what: string, ...options: readonly string[]): void {
  const wrong = options.find((option) => valueOf(line, option) !== undefined);
  if (wrong !== undefined) throw new UsageError(`Cannot use --${wrong} with "${what}"`);
}

function readCount(what: string, text: string): number {
  const count = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (count > 0) return count;
  throw new UsageError(`Cannot understand "${text}": ${what} must be a whole number, 1 or more`);
}

function readLine(args: readonly string[]): Line {
  const commands: CommandName[] = [];
  const words: string[] = [];
  const options: { option: string; text: string }[] = [];
  for (const token of tokenize(args)) {
    if (token.kind === "positional") {
      if (words.length === 0 && commands.length === 0) commands.push(readCommandName(token.value));
      else words.push(token.value);
    } else if (token.kind === "option") {
      const text = readOptionText(token.name, token.value, token.inlineValue === true);
      const meaning = meaningOf(token.name);
      if (meaning === undefined) options.push({ option: token.name, text });
      else if (text === "true") {
        const [command, word, switchedOn] = meaning;
        commands.push(command);
        if (word !== undefined) words.push(word);
        if (switchedOn !== undefined) options.push({ option: switchedOn, text });
      }
    }
  }
  return helpWins({ commands, words, options });
}

/** The command, and perhaps its first word and an option, that an option stands for. */
function meaningOf(option: string): readonly [CommandName, string?, string?] | undefined {
  if (isCommandName(option)) return [option];
  return Object.hasOwn(FORMER_OPTIONS, option) ? FORMER_OPTIONS[option] : undefined;
}

/** `run --help` asks for help on `run`. */
function helpWins(line: Line): Line {
  if (!line.commands.includes("help") || line.commands[0] === "help") return line;
  const [topic] = line.commands;
  return { commands: ["help"], words: topic === undefined ? [] : [topic], options: [] };
}

function tokenize(args: readonly string[]): NonNullable<ReturnType<typeof parseArgs>["tokens"]> {
  const values = Object.entries(OPTIONS).map(([name, { value }]) => {
    return [name, { type: value === undefined ? "boolean" as const : "string" as const }] as const;
  });
  const { tokens } = parseArgs({
    args: normalize(args),
    options: { ...Object.fromEntries(values), help: { type: "boolean", short: "h" } },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  return tokens;
}

/** `-config` → `--config`: one dash or two, both work. Nothing after `--` is touched. */
function normalize(args: readonly string[]): string[] {
  const end = args.indexOf("--");
  return args.map((arg, index) => {
    return (end === -1 || index < end) && /^-[a-zA-Z][a-zA-Z-]+(=|$)/.test(arg) ? `-${arg}` : arg;
  });
}

function readOptionText(name: string, value: string | undefined, isInline: boolean): string {
  const option = meaningOf(name) === undefined ? OPTIONS[name] : { value: undefined };
  if (option === undefined) throw unknown("option", `--${name}`, optionNames());
  if (option.value === undefined) {
    if (value === undefined || value === "true" || value === "false") return value ?? "true";
    throw new UsageError(`Cannot understand --${name}=${value}: it takes no value`);
  }
  // What looks like an option is one: `--config --verbose` lacks the file. Inline, anything goes.
  if (value === undefined || value === "" || !isInline && value.startsWith("-")) {
    throw new UsageError(`Cannot understand --${name}: it needs a value, --${name} ${option.value}`);
  }
  return value;
}

function chooseConfig(line: Line): ConfigChoice {
  return {
    path: line.options.findLast(({ option }) => option === "config")?.text,
    overrides: overridesOf(line),
  };
}

function overridesOf({ options }: Line): Override[] {
  return options.flatMap(({ option, text }) => {
    const key = OPTIONS[option]?.key;
    return key === undefined ? [] : [{ option: `--${option}`, key, text }];
  });
}

function requireOption(name: CommandName, option: string): void {
  const { commands = [] } = OPTIONS[option] ?? {};
  if (commands.includes(name)) return;
  throw new UsageError(`Cannot use --${option} with "${name}": it goes with ${commands.join(", ")}`);
}

function readTopic(word: string | undefined): CommandName | undefined {
  return word === undefined ? undefined : readCommandName(word);
}

function readCommandName(word: string): CommandName {
  if (isCommandName(word)) return word;
  throw unknown("command", word, Object.keys(COMMANDS));
}

function isCommandName(word: string): word is CommandName {
  return Object.hasOwn(COMMANDS, word);
}

function optionNames(): string[] {
  return [...Object.keys(OPTIONS), ...Object.keys(COMMANDS), ...Object.keys(FORMER_OPTIONS)].map((name) =>
    `--${name}`
  );
}

function unknown(what: string, word: string, candidates: readonly string[]): UsageError {
  const near = nearest(word, candidates);
  return new UsageError(
    `Cannot understand "${word}": no such ${what}${near === undefined ? "" : `; did you mean "${near}"?`}`,
  );
}
