import { dirname, join } from "node:path";

/** Separators between a key and its value, and between entries; nats-server is not strict about them either. */
const BETWEEN = /[\s=:,;]/;
const END_OF_BARE = /[\s,;\]}]/;
/** Files that include each other; nats-server fails on them itself. */
const MAX_INCLUDES = 100;

/**
 * Which settings a configuration file of nats-server makes, lower-case and dotted: `port`, `jetstream.store_dir`; each with
 * the text of its value, empty for a map, list or block. Files that it includes count; those that cannot be read are passed
 * over, as are mistakes: nats-server names them better.
 */
export function settingsIn(
  path: string,
  read: (path: string) => string | undefined,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  let left = MAX_INCLUDES;
  const scan = (file: string, prefix: string): void => {
    const text = left-- > 0 ? read(file) : undefined;
    if (text === undefined) return;
    new Scanner(text, {
      onSetting: (key, value) => found.set(key, value),
      onInclude: (name, where) => scan(join(dirname(file), name), where),
    }).scan(prefix);
  };
  scan(path, "");
  return found;
}

interface Listener {
  readonly onSetting: (key: string, value: string) => void;
  /** `where`: the prefix of what the file holds. */
  readonly onInclude: (name: string, where: string) => void;
}

/** Reads keys and skips values: maps `{}`, lists `[]`, blocks `()`, quoted and bare texts, `#` and `//` comments. */
class Scanner {
  readonly #text: string;
  readonly #listener: Listener;
  #at = 0;

  constructor(text: string, listener: Listener) {
    this.#text = text;
    this.#listener = listener;
  }

  /** A map's entries, up to its `}` or the end. */
  scan(prefix: string): void {
    for (let next = this.#skip(); next !== undefined && next !== "}"; next = this.#skip()) {
      const start = this.#at;
      const key = this.#word(/[\s=:{]/).toLowerCase();
      const separator = this.#text[this.#at] ?? "";
      if (key === "include" && /\s/.test(separator)) this.#include(prefix);
      else {
        this.#listener.onSetting(prefix + key, this.#value(`${prefix}${key}.`));
      }
      if (this.#at === start) this.#at++; // A stray bracket.
    }
    this.#at++;
  }

  #include(prefix: string): void {
    this.#skip();
    this.#listener.onInclude(this.#word(END_OF_BARE), prefix);
  }

  /** Its text, if it is one. */
  #value(prefix: string): string {
    const next = this.#skip();
    if (next === "{") {
      this.#at++;
      this.scan(prefix);
    } else if (next === "[") this.#list(prefix);
    else if (next === "(") this.#at = this.#after(")");
    else if (next !== "}") return this.#word(END_OF_BARE);
    return "";
  }

  #list(prefix: string): void {
    this.#at++;
    for (let next = this.#skip(); next !== undefined && next !== "]"; next = this.#skip()) {
      const start = this.#at;
      this.#value(prefix);
      if (this.#at === start) this.#at++;
    }
    this.#at++;
  }

  /** A quoted text, or one up to what `end` matches. */
  #word(end: RegExp): string {
    const start = this.#at;
    const quote = this.#text[start];
    if (quote === '"' || quote === "'") {
      this.#at++;
      while (this.#at < this.#text.length && this.#text[this.#at] !== quote) {
        this.#at += quote === '"' && this.#text[this.#at] === "\\" ? 2 : 1;
      }
      return this.#text.slice(start + 1, this.#at++);
    }
    while (this.#at < this.#text.length && !end.test(this.#text[this.#at]!)) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  /** The next character that means something. */
  #skip(): string | undefined {
    for (;;) {
      const next = this.#text[this.#at];
      if (next === undefined) return undefined;
      if (next === "#" || next === "/" && this.#text[this.#at + 1] === "/") this.#at = this.#after("\n");
      else if (BETWEEN.test(next)) this.#at++;
      else return next;
    }
  }

  #after(text: string): number {
    const found = this.#text.indexOf(text, this.#at);
    return found === -1 ? this.#text.length : found + text.length;
  }
}
