import { toToml } from "./example.ts";
import { ENTRIES, type SchemaEntry, SECTIONS } from "./schema.ts";

/** The configuration table of the README, in Markdown. */
export function renderConfigTable(): string {
  const tables = [["", "Top level, above the first table"] as const, ...SECTIONS];
  return tables.map(([section, help]) => renderTable(section, help)).filter((table) => table !== "").join(
    "\n\n",
  ) + "\n";
}

function renderTable(section: string, help: string): string {
  const rows = ENTRIES.filter((entry) => entry.section === section).map(renderRow);
  const heading = section === "" ? `**${help}**` : `**\`[${section}]\`** ${help}`;
  return [heading, "", "| Key | Default | Unit | What it does |", "|---|---|---|---|", ...rows].join("\n");
}

function renderRow({ name, setting }: SchemaEntry): string {
  const fallback = setting.defaultText ??
    (setting.default === undefined ? "required" : `\`${toToml(setting.default)}\``);
  return `| \`${name}\` | ${fallback} | ${setting.unit ?? ""} | ${setting.help.replaceAll("*", "\\*")} |`;
}
