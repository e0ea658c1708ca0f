/** TypeScript text taken apart just far enough for rules about it: no types, no tree, but right about what is code. */
export interface SourceText {
  readonly path: string;
  readonly text: string;
  /** The text with every comment, string, template and regular expression blanked out; offsets and lines stay. */
  readonly code: string;
  /** The text of comments, everything else blanked out. */
  readonly comments: string;
}

/** After these, a slash begins a regular expression. */
const BEFORE_REGEX =
  /(?:^|[(,=:[!&|?{};+\-*%~^<>\n]|\b(?:return|typeof|case|in|of|do|else|void|delete|await|yield))\s*$/;

export function readSource(path: string, text: string): SourceText {
  return new Scanner(path, text).scan();
}

/** The line number, from 1, of an offset. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i !== -1 && i < offset; i = text.indexOf("\n", i + 1)) line++;
  return line;
}

class Scanner {
  readonly #path: string;
  readonly #text: string;
  readonly #code: string[];
  readonly #comments: string[];
  /** Depth of braces at which each open `${` ends. */
  readonly #templates: number[] = [];
  #depth = 0;
  #at = 0;

  constructor(path: string, text: string) {
    this.#path = path;
    this.#text = text;
    this.#code = blank(text).split("");
    this.#comments = blank(text).split("");
  }

  scan(): SourceText {
    while (this.#at < this.#text.length) this.#token();
    const [code, comments] = [this.#code.join(""), this.#comments.join("")];
    return { path: this.#path, text: this.#text, code, comments };
  }

  #token(): void {
    const rest = this.#text.slice(this.#at, this.#at + 2);
    const char = rest[0] ?? "";
    if (rest === "//") this.#comment(this.#indexAfter("\n", 0));
    else if (rest === "/*") this.#comment(this.#indexAfter("*/", 2));
    else if (char === '"' || char === "'") this.#skipString(char);
    else if (char === "`") this.#skipTemplate();
    else if (char === "/" && BEFORE_REGEX.test(this.#before())) this.#skipRegex();
    else this.#copy(char);
  }

  #copy(char: string): void {
    if (char === "{") this.#depth++;
    if (char === "}" && this.#templates.at(-1) === this.#depth) {
      this.#templates.pop();
      this.#depth--;
      this.#skipTemplate();
      return;
    }
    if (char === "}") this.#depth--;
    this.#code[this.#at++] = char;
  }

  /** What precedes in code, on this line or the last one: enough to tell a division from a regular expression. */
  #before(): string {
    return this.#code.slice(Math.max(0, this.#at - 200), this.#at).join("");
  }

  #indexAfter(end: string, skip: number): number {
    const index = this.#text.indexOf(end, this.#at + skip);
    return index === -1 ? this.#text.length : index + end.length;
  }

  #comment(end: number): void {
    for (; this.#at < end; this.#at++) this.#comments[this.#at] = this.#text[this.#at] ?? "";
  }

  #skipString(quote: string): void {
    this.#code[this.#at] = quote;
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const char = this.#text[this.#at];
      if (char === "\\") this.#at++;
      else if (char === quote || char === "\n") break;
    }
    if (this.#text[this.#at] === quote) this.#code[this.#at] = quote;
    this.#at++;
  }

  /** From a backtick, or the brace that ends a `${…}`, to the next `${` or the closing backtick. */
  #skipTemplate(): void {
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const char = this.#text[this.#at];
      if (char === "\\") {
        this.#at++;
      } else if (char === "`") {
        this.#at++;
        return;
      } else if (char === "$" && this.#text[this.#at + 1] === "{") {
        this.#templates.push(++this.#depth);
        this.#at += 2;
        return;
      }
    }
  }

  #skipRegex(): void {
    let inClass = false;
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const char = this.#text[this.#at];
      if (char === "\\") this.#at++;
      else if (char === "[") inClass = true;
      else if (char === "]") inClass = false;
      else if ((char === "/" && !inClass) || char === "\n") break;
    }
    this.#at++;
  }
}

function blank(text: string): string {
  return text.replace(/[^\n]/g, " ");
}

export interface FunctionSpan {
  readonly name: string;
  readonly firstLine: number;
  readonly lines: number;
}

const NOT_A_METHOD = new Set(
  "if for while switch catch return await with function super new typeof throw".split(" "),
);
const HEADER =
  /\bfunction\b\s*\*?\s*(?<named>[\w$]*)|(?<arrow>=>)\s*\{|^[ \t]+(?:(?:public|private|protected|static|async|override|get|set)\s+)*\*?\s*(?<method>#?[\w$]+|\[[\w.]+\])\s*(?=[(<])/gm;

/** Every function with a body in braces: declarations, expressions, methods and arrows. */
export function functionsOf(source: SourceText): FunctionSpan[] {
  const spans: FunctionSpan[] = [];
  for (const match of source.code.matchAll(HEADER)) {
    const { named, arrow, method } = match.groups ?? {};
    if (method !== undefined && NOT_A_METHOD.has(method)) continue;
    const after = match.index + match[0].length;
    const open = arrow === undefined ? bodyAfterParameters(source.code, after) : after - 1;
    if (open === undefined) continue;
    const firstLine = lineAt(source.code, match.index + (/\S/.exec(match[0])?.index ?? 0));
    const lines = lineAt(source.code, closingOf(source.code, open)) - firstLine + 1;
    spans.push({ name: named || method || "(arrow function)", firstLine, lines });
  }
  return spans;
}

/** The offset of the brace that opens the body, or nothing for a call or an overload. */
function bodyAfterParameters(code: string, from: number): number | undefined {
  let at = skipSpace(code, from);
  if (code[at] === "<") at = skipSpace(code, skipTypeArguments(code, at));
  if (code[at] !== "(") return undefined;
  at = skipSpace(code, closingOf(code, at) + 1);
  if (code[at] === "{") return at;
  return code[at] === ":" ? bodyAfterType(code, at + 1) : undefined;
}

/** A brace after a finished type opens the body; one where a type is still expected opens an object type. */
function bodyAfterType(code: string, from: number): number | undefined {
  for (let at = from; at < code.length; at++) {
    const char = code[at] ?? "";
    const typeExpected = /(?:[:|&,<(=]|=>|\bis|\bkeyof|\breadonly)\s*$/.test(
      code.slice(Math.max(0, at - 40), at),
    );
    if (char === ";" || char === "}" || (char === "=" && code[at + 1] !== ">")) return undefined;
    if (char === "{" && !typeExpected) return at;
    if (char === "{" || char === "(" || char === "[") at = closingOf(code, at);
  }
  return undefined;
}

function skipTypeArguments(code: string, from: number): number {
  let depth = 0;
  for (let at = from; at < code.length; at++) {
    if (code[at] === "<") depth++;
    if (code[at] === ">" && code[at - 1] !== "=" && --depth === 0) return at + 1;
  }
  return code.length;
}

function skipSpace(code: string, from: number): number {
  let at = from;
  while (/\s/.test(code[at] ?? "")) at++;
  return at;
}

/** The offset of the bracket that closes the one at `open`; the end of the text when there is none. */
export function closingOf(code: string, open: number): number {
  let depth = 0;
  for (let at = open; at < code.length; at++) {
    if ("([{".includes(code[at] ?? " ")) depth++;
    if (")]}".includes(code[at] ?? " ") && --depth === 0) return at;
  }
  return code.length;
}

/** The first line at which brackets do not match: a mistake in the file, or in how it was read. */
export function unbalancedLine({ code }: SourceText): number | undefined {
  const open: string[] = [];
  for (let at = 0; at < code.length; at++) {
    const char = code[at] ?? "";
    if ("([{".includes(char)) open.push(char);
    if (")]}".includes(char) && "([{".indexOf(open.pop() ?? "") !== ")]}".indexOf(char)) {
      return lineAt(code, at);
    }
  }
  return open.length === 0 ? undefined : lineAt(code, code.length);
}
