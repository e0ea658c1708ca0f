import { ENTRIES, type SchemaEntry, SECTIONS } from "./schema.ts";

const LINE_WIDTH = 100;

/**
 * The annotated file that `harmonylite init` writes: every key with what it does; what a user must decide is set, all
 * else is a comment with its default. `chosen` holds TOML texts by dotted key for settings that the user gave.
 */
export function renderExample(chosen: Readonly<Record<string, string>> = {}): string {
  const intro = comment(
    "HarmonyLite. Each setting has its default unless set here. An environment variable beats this file: " +
      "HARMONYLITE_DB_PATH, HARMONYLITE_REPLICATION_LOG_SHARDS. Relative paths start at the working directory.",
  );
  const sections = [...SECTIONS].map((
    [name, help],
  ) => [...comment(help), `[${name}]`, ...renderEntries(name, chosen)]);
  const blocks = [intro, renderEntries("", chosen), ...sections];
  return blocks.map((block) => block.join("\n")).join("\n\n") + "\n";
}

function renderEntries(section: string, chosen: Readonly<Record<string, string>>): string[] {
  const entries = ENTRIES.filter((entry) => entry.section === section);
  const lines = entries.flatMap((
    entry,
  ) => ["", ...comment(helpOf(entry)), renderValue(entry, chosen[entry.key])]);
  return section === "" ? lines.slice(1) : lines;
}

function renderValue({ name, setting }: SchemaEntry, chosen: string | undefined): string {
  const unit = setting.unit === undefined ? "" : ` # ${setting.unit}`;
  const value = chosen ?? setting.example;
  return value === undefined ? `#${name} = ${toToml(setting.default)}${unit}` : `${name} = ${value}${unit}`;
}

function helpOf({ setting }: SchemaEntry): string {
  const fallback = setting.defaultText === undefined ? "" : ` Default: ${setting.defaultText}.`;
  return (setting.help + fallback).replaceAll("`", "");
}

/** TOML and JSON agree on everything that a default can be. */
export function toToml(value: unknown): string {
  return typeof value === "bigint" ? String(value) : JSON.stringify(value);
}

/** `# …` in lines of bounded length. */
function comment(text: string): string[] {
  const lines: string[] = [];
  let line = "#";
  for (const word of text.split(" ")) {
    if (line.length + 1 + word.length > LINE_WIDTH) {
      lines.push(line);
      line = "#";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
