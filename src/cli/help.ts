import { type CommandName, COMMANDS } from "./command.ts";
import { OPTIONS } from "./options.ts";

/** What `harmonylite help` prints, or `harmonylite help <topic>`. */
export function renderHelp(topic?: CommandName): string {
  return topic === undefined ? renderOverview() : renderTopic(topic);
}

function renderOverview(): string {
  const commands = Object.entries(COMMANDS).map(([name, help]) => row(usageOf(name as CommandName), help));
  return [
    "HarmonyLite replicates a SQLite database between nodes over NATS JetStream.",
    "",
    "Usage: harmonylite [COMMAND] [OPTIONS]",
    "",
    "Commands (-check is the same as check, and so on):",
    ...commands,
    "",
    "Options (one dash or two, --name VALUE or --name=VALUE):",
    ...renderOptions(Object.keys(OPTIONS)),
    "",
    "Every setting can also come from the environment: HARMONYLITE_DB_PATH, HARMONYLITE_NATS_URLS.",
    "An option beats the environment, the environment beats the file.",
    "",
    "Exit codes: 0 done, 1 failed or invalid configuration, 2 command line not understood, 3 done but not all is well",
    "(doctor has a warning, verify could not compare everything), 130 interrupted.",
    "Ctrl-C or SIGTERM ends in good order, a second one at once.",
    "",
  ].join("\n");
}

function renderTopic(topic: CommandName): string {
  const options = Object.keys(OPTIONS).filter((name) => OPTIONS[name]?.commands.includes(topic));
  const list = options.length === 0 ? [] : ["", "Options:", ...renderOptions(options)];
  return [
    `Usage: harmonylite ${usageOf(topic)}${options.length === 0 ? "" : " [OPTIONS]"}`,
    "",
    COMMANDS[topic],
    ...list,
    "",
  ]
    .join("\n");
}

function renderOptions(names: readonly string[]): string[] {
  return names.map((name) => {
    const { value, help = "" } = OPTIONS[name] ?? {};
    return row(`--${name}${value === undefined ? "" : ` ${value}`}`, help);
  });
}

function usageOf(name: CommandName): string {
  if (name === "init") return "init [FILE]";
  if (["conflicts", "ids", "schema", "snapshot"].includes(name)) return `${name} [ACTION]`;
  return name === "help" ? "help [COMMAND]" : name;
}

function row(left: string, right: string): string {
  return `  ${left.padEnd(24)} ${right}`;
}
