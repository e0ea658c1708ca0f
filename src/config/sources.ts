import { editDistance, nearest } from "../lib/nearest.ts";
import type { Problem } from "./problem.ts";
import { ENTRIES, type SchemaEntry, SECTIONS } from "./schema.ts";
import {
  isTable,
  parseToml,
  type TomlDocument,
  TomlSyntaxError,
  type TomlTable,
  type TomlValue,
} from "./toml.ts";

/** A setting given on the command line. */
export interface Override {
  /** As the user knows it: `--node-id`. */
  readonly option: string;
  /** Dotted key of the setting. */
  readonly key: string;
  readonly text: string;
}

/** Where settings come from; a later one beats an earlier one. */
export interface Sources {
  readonly file?: { readonly name: string; readonly text: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly overrides?: readonly Override[];
}

/** Where something stands, in the user's words. */
export interface Place {
  readonly where: string;
  readonly line: number;
}

/** What was read: values by dotted key, and where a key stands or would stand. */
export interface Readings {
  readonly values: ReadonlyMap<string, unknown>;
  readonly problems: readonly Problem[];
  readonly locate: (key: string) => Place;
}

/** A value that the user wrote, and where. */
interface Given extends Place {
  readonly value: TomlValue;
}

const BY_KEY: ReadonlyMap<string, SchemaEntry> = new Map(ENTRIES.map((entry) => [entry.key, entry]));

/** Reads all sources and judges each value by itself. Settings with a problem are not among the values. */
export function readSources(sources: Sources): Readings {
  const problems: Problem[] = [];
  const document = readFile(sources, problems);
  const isRead = problems.length === 0;
  const locate = locator(sources, document);
  const given = new Map<string, Given>();
  walk(document.table, "", locate, given, problems);
  readEnvironment(sources.environment ?? {}, given);
  for (const { option, key, text } of sources.overrides ?? []) {
    given.set(key, { value: fromText(key, text), where: option, line: 0 });
  }
  const placed = (key: string): Place => given.get(key) ?? locate(key);
  return { values: judge(given, placed, problems, isRead), problems, locate: placed };
}

/** How many letters of a variable's name may be wrong. */
const MAX_TYPOS = 2;

/** Variables that look like a mistyped setting. Others that begin so are none of our business: Kubernetes sets some. */
export function findMistypedVariables(environment: Readonly<Record<string, string>>): string[] {
  const known = ENTRIES.map(({ variable }) => variable);
  return Object.keys(environment).filter((name) => name.startsWith("HARMONYLITE_") && !known.includes(name))
    .flatMap((name) => {
      const meant = known.find((variable) => editDistance(variable, name) <= MAX_TYPOS);
      return meant === undefined
        ? []
        : [`environment variable ${name} is not a setting; did you mean ${meant}?`];
    });
}

function readFile(sources: Sources, problems: Problem[]): TomlDocument {
  const empty = { table: {}, lines: new Map<string, number>() };
  if (sources.file === undefined) return empty;
  try {
    return parseToml(sources.file.text);
  } catch (error) {
    if (!(error instanceof TomlSyntaxError)) throw error;
    const where = `${sources.file.name}:${error.line}`;
    problems.push({ where, line: error.line, key: "", text: error.message });
    return empty;
  }
}

/** A key that is not in the file is placed at its table, else at the file. */
function locator({ file }: Sources, { lines }: TomlDocument): (key: string) => Place {
  return (key) => {
    const parts = key.split(".");
    for (let length = parts.length; length > 0; length--) {
      const line = lines.get(parts.slice(0, length).join("."));
      if (line !== undefined) return { where: `${file?.name}:${line}`, line };
    }
    return { where: file?.name ?? "configuration", line: 0 };
  };
}

function walk(
  table: TomlTable,
  section: string,
  locate: (key: string) => Place,
  given: Map<string, Given>,
  problems: Problem[],
): void {
  for (const [name, value] of Object.entries(table)) {
    const key = section === "" ? name : `${section}.${name}`;
    const place = locate(key);
    if (BY_KEY.has(key)) given.set(key, { ...place, value });
    else if (!SECTIONS.has(key)) problems.push({ ...place, key, text: explainUnknown(section, name, value) });
    else if (isTable(value)) walk(value, key, locate, given, problems);
    else problems.push({ ...place, key, text: `must be a table: [${key}]` });
  }
}

function explainUnknown(section: string, name: string, value: TomlValue): string {
  const isSection = isTable(value);
  const what = isSection ? "is not a known table" : "is not a known key";
  const siblings = isSection
    ? [...SECTIONS.keys()].filter((key) => parentOf(key) === section).map(lastOf)
    : ENTRIES.filter((entry) => entry.section === section).map((entry) => entry.name);
  const near = nearest(name, siblings);
  if (near !== undefined) return `${what}; did you mean "${near}"?`;
  const homes = isSection
    ? [...SECTIONS.keys()].filter((key) => lastOf(key) === name).map((key) => `[${key}]`)
    : ENTRIES.filter((entry) => entry.name === name).map(homeOf);
  if (isSection && homes.length > 0) return `${what} here; did you mean ${homes.join(" or ")}?`;
  if (homes.length > 0) return `${what} here; it belongs ${homes.join(" or ")}`;
  return what + suggestElsewhere(name, isSection);
}

function suggestElsewhere(name: string, isSection: boolean): string {
  if (isSection) {
    const near = nearest(name, SECTIONS.keys());
    return near === undefined ? "" : `; did you mean [${near}]?`;
  }
  const near = nearest(name, ENTRIES.map((entry) => entry.name));
  const entry = ENTRIES.find((candidate) => candidate.name === near);
  return entry === undefined ? "" : `; did you mean "${entry.name}", ${homeOf(entry)}?`;
}

function homeOf({ section }: SchemaEntry): string {
  return section === "" ? "at the top level, above the first [table]" : `under [${section}]`;
}

function parentOf(key: string): string {
  return key.split(".").slice(0, -1).join(".");
}

function lastOf(key: string): string {
  return key.split(".").at(-1) ?? key;
}

/** An empty variable counts as not set: container tools pass on empty ones. */
function readEnvironment(environment: Readonly<Record<string, string>>, given: Map<string, Given>): void {
  for (const { key, variable } of ENTRIES) {
    const text = environment[variable] ?? "";
    if (text !== "") given.set(key, { value: fromText(key, text), where: variable, line: 0 });
  }
}

function fromText(key: string, text: string): TomlValue {
  return BY_KEY.get(key)?.setting.fromText(text) ?? text;
}

function judge(
  given: ReadonlyMap<string, Given>,
  locate: (key: string) => Place,
  problems: Problem[],
  isRead: boolean,
): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const { key, setting } of ENTRIES) {
    const found = given.get(key);
    if (found === undefined) {
      if (setting.default !== undefined) values.set(key, setting.default);
      // A file that is no TOML may well have it.
      else if (isRead) problems.push({ ...locate(key), key, text: "is required and not set" });
      continue;
    }
    const reading = setting.read(found.value);
    if ("value" in reading) values.set(key, reading.value);
    else {problems.push({
        ...locate(key),
        key,
        text: reading.refusal + (setting.secret ? "" : butIs(found.value)),
      });}
  }
  return values;
}

const MAX_SHOWN_LENGTH = 60;

/** `, but is 0`. Not for secrets. */
function butIs(value: TomlValue): string {
  if (Array.isArray(value)) return ", but is a list";
  if (value instanceof Date) return ", but is a date";
  if (typeof value === "object") return ", but is a table";
  const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
  return `, but is ${shown.length > MAX_SHOWN_LENGTH ? `${shown.slice(0, MAX_SHOWN_LENGTH)}…` : shown}`;
}
