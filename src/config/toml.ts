import { parse, TomlError } from "smol-toml";

/** What a TOML file can hold: integers are bigint and so exact, floats are numbers. */
export type TomlValue = string | bigint | number | boolean | Date | TomlValue[] | TomlTable;
export interface TomlTable {
  readonly [key: string]: TomlValue;
}

export interface TomlDocument {
  readonly table: TomlTable;
  /** 1-based line of each key and table, by its dotted path. */
  readonly lines: ReadonlyMap<string, number>;
}

/** The text is not TOML. The message never quotes the text: what stands there may be a password. */
export class TomlSyntaxError extends Error {
  override name = "TomlSyntaxError";
  readonly line: number;
  readonly column: number;

  constructor(reason: string, line: number, column: number) {
    super(`is not valid TOML: ${reason} (column ${column})`);
    this.line = line;
    this.column = column;
  }
}

/** Throws {@link TomlSyntaxError}. */
export function parseToml(text: string): TomlDocument {
  const plain = text.replace(/^\uFEFF/, ""); // Some editors on Windows put a byte order mark first.
  try {
    return { table: parse(plain, { integersAsBigInt: true }) as TomlTable, lines: locateKeys(plain) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n", 1)[0]?.replace(/^Invalid TOML document: /, "") ?? "";
    throw new TomlSyntaxError(reason, error.line, error.column);
  }
}

export function isTable(value: TomlValue): value is TomlTable {
  return typeof value === "object" && !Array.isArray(value) && !(value instanceof Date);
}

/** Finds the line of each key in a text that is known to be TOML; the parser does not tell them. */
export function locateKeys(text: string): Map<string, number> {
  const lines = new Map<string, number>();
  const note = (path: string, index: number): void => {
    if (!lines.has(path)) lines.set(path, lineOf(text, index));
  };
  let table = "";
  for (let index = skipBlank(text, 0); index < text.length; index = skipBlank(text, index)) {
    const start = index;
    if (text[index] === "[") {
      const end = scanUntil(text, index, "]");
      table = plainKey(text.slice(start, end).replaceAll(/[[\]]/g, ""));
      note(table, start);
      index = scanUntil(text, end, "\n");
    } else {
      const end = scanUntil(text, index, "=");
      const key = plainKey(text.slice(start, end));
      note(table === "" ? key : `${table}.${key}`, start);
      index = scanUntil(text, end + 1, "\n");
    }
  }
  return lines;
}

function lineOf(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}

function skipBlank(text: string, index: number): number {
  const blank = /(?:\s|#[^\n]*)*/y;
  blank.lastIndex = index;
  blank.test(text);
  return blank.lastIndex;
}

/** `a . "b c"` → `a.b c`. */
function plainKey(text: string): string {
  return (text.match(/"(?:[^"\\]|\\.)*"|'[^']*'|[^\s."']+/g) ?? [])
    .map((part) => part.replace(/^["'](.*)["']$/, "$1")).join(".");
}

/** A whole string of one of TOML's four kinds, or a comment. */
const OPAQUE = /"""(?:[^\\]|\\[\s\S])*?"""|'''[\s\S]*?'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*/y;

/** Where `stop` stands next from `index`, outside strings, comments, and brackets that were opened on the way. */
function scanUntil(text: string, index: number, stop: string): number {
  let depth = 0;
  for (let at = text[index] === "[" && stop === "]" ? index + 1 : index; at < text.length;) {
    OPAQUE.lastIndex = at;
    if (OPAQUE.test(text)) {
      at = OPAQUE.lastIndex;
      continue;
    }
    const letter = text[at] ?? "";
    if (depth <= 0 && letter === stop) return at;
    if ("[{".includes(letter)) depth++;
    if ("]}".includes(letter)) depth--;
    at++;
  }
  return text.length;
}
