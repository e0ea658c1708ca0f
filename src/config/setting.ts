import type { TomlValue } from "./toml.ts";

/** What became of a value that a user wrote: taken, or the words that follow the key in the error. */
export type Reading<T> = { readonly value: T } | { readonly refusal: string };

/** What a path leads to: a file that must exist (unless the setting is empty), one that we write, or a folder. */
export type FileUse = "must exist" | "is written" | "folder";

/** What a person sees of a setting, and how a value is read. */
export interface Setting<T> {
  readonly kind: "setting";
  readonly help: string;
  /** What numbers count: ms, rows … */
  readonly unit: string | undefined;
  /** The value, or a part of it, is a password: it is never shown. */
  readonly secret: boolean;
  /** Undefined: a value is required. */
  readonly default: T | undefined;
  /** Words for a default that is only known at start. */
  readonly defaultText: string | undefined;
  /** Set: `init` writes this instead of a comment with the default. */
  readonly example: string | undefined;
  /** For paths alone. */
  readonly file: FileUse | undefined;
  /** Takes a value as TOML has it. */
  readonly read: (value: TomlValue) => Reading<T>;
  /** The TOML value that a text of the environment or the command line stands for. */
  readonly fromText: (text: string) => TomlValue;
}

/** A table of the file: `[name]`. */
export interface Section<Members extends SectionMembers> {
  readonly kind: "section";
  readonly help: string;
  readonly members: Members;
}

// `any`, as a setting both yields and takes its type: no single type argument holds them all.
// deno-lint-ignore no-explicit-any
export type AnySetting = Setting<any>;
export interface SectionMembers {
  readonly [name: string]: AnySetting | Section<SectionMembers>;
}

interface Words<T> {
  readonly help: string;
  readonly default?: T;
  readonly defaultText?: string;
  readonly unit?: string;
  readonly secret?: boolean;
  readonly example?: string;
}

export function section<Members extends SectionMembers>(help: string, members: Members): Section<Members> {
  return { kind: "section", help, members };
}

export function boolean(words: Words<boolean> & { default: boolean }): Setting<boolean> {
  return make(words, {
    read: (value) => typeof value === "boolean" ? { value } : { refusal: "must be true or false" },
    fromText: (text) => BOOLEANS.get(text.toLowerCase()) ?? text,
  });
}

export function integer(
  words: Words<number> & { default: number; min: number; max: number },
): Setting<number> {
  const { min, max } = words;
  return make(words, {
    read: (value) =>
      typeof value === "bigint" && value >= min && value <= max
        ? { value: Number(value) }
        : { refusal: `must be a whole number from ${min} to ${max}` },
    fromText: integerFromText,
  });
}

/** Timers hold no more than this (24.8 days); beyond it they would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Milliseconds of a timer. */
export function duration(words: Words<number> & { default: number; min?: number }): Setting<number> {
  return integer({ min: 0, max: MAX_TIMER_MS, unit: "ms", ...words });
}

/** A whole number of up to 63 bits, kept exact. */
export function identity(words: Words<bigint> & { default: bigint }): Setting<bigint> {
  const max = 2n ** 63n - 1n;
  return make(words, {
    read: (value) =>
      typeof value === "bigint" && value >= 0n && value <= max
        ? { value }
        : { refusal: `must be a whole number from 1 to ${max}` },
    fromText: integerFromText,
  });
}

export function text(
  words: Words<string> & { default: string; form?: RegExp; formText?: string },
): Setting<string> {
  return make(words, { read: (value) => readText(value, words), fromText: (given) => given });
}

/** One of a few words. */
export function choice<const T extends string>(
  words: Words<T> & { of: readonly T[]; default: NoInfer<T> },
): Setting<T> {
  const list = words.of.map((word) => JSON.stringify(word)).join(", ");
  return make(words, {
    read: (value) => {
      const found = words.of.find((word) => word === value);
      return found === undefined ? { refusal: `must be one of ${list}` } : { value: found };
    },
    fromText: (given) => given,
  });
}

/** A path on this machine; a relative one starts at the working directory. */
export function path(words: Words<string> & { file: FileUse }): Setting<string> {
  return { ...make(words, { read: readPath, fromText: (given) => given }), file: words.file };
}

/** `host:port`, where `:port` means all interfaces. */
export function address(words: Words<string> & { default: string; minPort?: number }): Setting<string> {
  const { minPort = 0 } = words;
  return make(words, {
    read: (value) =>
      value === "" && words.default === "" || typeof value === "string" && isAddress(value, minPort)
        ? { value }
        : { refusal: 'must be "host:port" or ":port"' },
    fromText: (given) => given,
  });
}

/** A list of texts; in the environment and on the command line they are parted by commas. */
export function list(
  words: Words<readonly string[]> & {
    default: readonly string[];
    judge?: (item: string) => string | undefined;
  },
): Setting<readonly string[]> {
  return make(words, {
    read: (value) => readList(value, words.judge ?? (() => undefined)),
    fromText: (given) => given.split(",").map((item) => item.trim()).filter((item) => item !== ""),
  });
}

const BOOLEANS = new Map([["true", true], ["1", true], ["false", false], ["0", false]]);

function make<T>(words: Words<T>, how: Pick<Setting<T>, "read" | "fromText">): Setting<T> {
  return {
    kind: "setting",
    help: words.help,
    unit: words.unit,
    secret: words.secret ?? false,
    default: words.default,
    defaultText: words.defaultText,
    example: words.example,
    file: undefined,
    ...how,
  };
}

function integerFromText(text: string): TomlValue {
  return /^[+-]?\d{1,40}$/.test(text) ? BigInt(text.replace("+", "")) : text;
}

function readText(value: TomlValue, words: { form?: RegExp; formText?: string }): Reading<string> {
  if (typeof value !== "string") return { refusal: "must be a text in quotes" };
  if (words.form?.test(value) ?? true) return { value };
  return { refusal: `must be ${words.formText ?? "written otherwise"}` };
}

function readPath(value: TomlValue): Reading<string> {
  if (typeof value !== "string") return { refusal: "must be a path in quotes" };
  if (value.includes("\0")) return { refusal: "must be a path without NUL" };
  if (value.startsWith("file:") || value === ":memory:") return { refusal: "must be the path of a file" };
  return { value };
}

function isAddress(text: string, minPort: number): boolean {
  const port = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:[\]/]*):(-1|\d{1,5})$/.exec(text)?.[1];
  return port !== undefined && Number(port) >= minPort && Number(port) <= 65_535;
}

function readList(
  value: TomlValue,
  judge: (item: string) => string | undefined,
): Reading<readonly string[]> {
  if (!Array.isArray(value)) return { refusal: 'must be a list of texts, ["…", "…"]' };
  const items: string[] = [];
  for (const [index, item] of value.entries()) {
    if (typeof item !== "string") return { refusal: `must hold texts only: item ${index + 1} is none` };
    const refusal = judge(item);
    if (refusal !== undefined) return { refusal: `has a wrong item ${index + 1}: ${refusal}` };
    items.push(item);
  }
  return { value: Object.freeze(items) };
}
