import { parseArgs } from "node:util";
import type { Override } from "../config/sources.ts";
import { DEFAULT_LIMIT, OPTIONS } from "./options.ts";
import { nearest } from "../lib/nearest.ts";
import {
  type Command,
  type CommandName,
  COMMANDS,
  type ConfigChoice,
  type IdsCommand,
  type SnapshotCommand,
  type SnapshotOutput,
  UsageError,
} from "./command.ts";

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
      case "doctor": {
        const bundle = valueOf(line, "bundle");
        return { name, choice: chooseConfig(line), json: has("json"), fix: has("fix"), bundle };
      }
      case "ids":
        return makeIds(line, words);
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

/** `ids`, `ids list`, `ids set TABLE`. Takes the words that it understands. */
function makeIds(line: Line, words: string[]): IdsCommand {
  const name = "ids";
  const choice = chooseConfig(line);
  const idOf = (option: string): bigint | undefined => {
    const text = valueOf(line, option);
    return text === undefined ? undefined : BigInt(readCount(`--${option}`, text));
  };
  const range = { first: idOf("first"), last: idOf("last") };
  const action = words.shift() ?? "list";
  if (action === "list") return { name, action, choice, range, json: valueOf(line, "json") === "true" };
  if (action !== "set") throw unknown("action of ids", action, ["list", "set"]);
  refuse(line, `${name} ${action}`, "json");
  const table = words.shift();
  if (table === undefined) throw new UsageError('Cannot do "ids set": it needs the name of a table');
  return { name, action, choice, range, table };
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
