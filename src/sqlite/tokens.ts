import { foldCase } from "../lib/ascii.ts";
import { literal } from "./identifier.ts";

/** One lexical piece of SQL text, and where it lies. */
export interface Token {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const TOKEN = new RegExp(
  [
    /[xX]?'(?:[^']|'')*'/, // text, or bytes
    /"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]/, // names in quotes
    /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/,
    /0[xX][\da-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/,
    /\?\d+/,
    /[\w$\u0080-\u{10FFFF}]+/u, // names and keywords: SQLite takes every character beyond ASCII for a letter
    /\S/,
  ].map(({ source }) => source).join("|"),
  "gu",
);

/** The pieces of SQL text in order, comments left out. */
export function tokenize(sql: string): Token[] {
  return [...sql.matchAll(TOKEN)]
    .map((match) => ({ text: match[0], start: match.index, end: match.index + match[0].length }))
    .filter(({ text }) => !text.startsWith("--") && !text.startsWith("/*"));
}

/** What a token says, without quotes around it. */
export function unquoted({ text }: Token): string {
  const inside = text.slice(1, -1);
  if (text.startsWith("[")) return inside;
  return /^["`']/.test(text) ? inside.replaceAll(text[0]!.repeat(2), text[0]!) : text;
}

/** The name that a token stands for, undefined if it cannot be one. */
function nameOf(token: Token): string | undefined {
  const isName = /^["`[A-Za-z_\u0080-\u{10FFFF}]/u.test(token.text) && !token.text.endsWith("'");
  return isName ? unquoted(token) : undefined;
}

/** SQL text over the columns of one table that means the same in any statement which has these columns in reach. */
export interface Expression {
  readonly sql: string;
  /** The columns that it names. */
  readonly columns: readonly string[];
}

/**
 * Makes what stands in a table's schema fit for other statements. Comments go, and the table's name before a column. A text
 * in double quotes becomes a literal: SQLite only takes such a text for one if it was told to, except in a schema.
 *
 * @param sql the text that the tokens were cut from
 * @param columns all columns of the table, generated ones included
 */
export function toExpression(tokens: readonly Token[], columns: readonly string[]): Expression {
  const byName = new Map(columns.map((column) => [foldCase(column), column]));
  const named = new Set<string>();
  let sql = "";
  let end = tokens[0]?.start ?? 0;
  tokens.forEach((token, at) => {
    if (isQualifier(tokens, at) || isQualifier(tokens, at - 1)) return;
    const name = nameOf(token);
    const column = name === undefined ? undefined : byName.get(foldCase(name));
    if (column !== undefined) named.add(column);
    const isText = column === undefined && token.text.startsWith('"') && tokens[at + 1]?.text !== "(";
    sql += `${token.start > end ? " " : ""}${isText ? literal(name!) : token.text}`;
    end = token.end;
  });
  return { sql: sql.trimStart(), columns: [...named] };
}

/** Whether a token is a name with a point and another name behind it. */
function isQualifier(tokens: readonly Token[], at: number): boolean {
  const [name, point, next] = [tokens[at], tokens[at + 1], tokens[at + 2]];
  if (!name || point?.text !== "." || !next) return false;
  return nameOf(name) !== undefined && nameOf(next) !== undefined;
}
