import { quote } from "./identifier.ts";
import { toExpression, type Token, tokenize, unquoted } from "./tokens.ts";

/**
 * The statement that creates a temporary table whose columns have the types, collations and generating expressions of
 * another's. Its CHECK conditions always hold, collations that are not `known` are left out, and so is AUTOINCREMENT, which
 * would make a `sqlite_sequence` of its own.
 *
 * @param sql the other's CREATE TABLE, as `sqlite_schema` has it
 * @param columns all columns, generated ones included
 */
export function createLike(
  sql: string,
  name: string,
  columns: readonly string[],
  isKnown: (collation: string) => boolean,
): string {
  const [, , , ...declaration] = tokenize(sql);
  const kept = withoutCollations(withoutChecks(declaration), isKnown)
    .filter(({ text }) => !/^autoincrement$/i.test(text));
  return `CREATE TEMP TABLE ${quote(name)} ${toExpression(kept, columns).sql}`;
}

/** Leaves out the collations that are not known. */
function withoutCollations(tokens: readonly Token[], isKnown: (collation: string) => boolean): Token[] {
  const isCollate = (token: Token | undefined): boolean => /^collate$/i.test(token?.text ?? "");
  return tokens.filter((token, at) => {
    if (isCollate(token)) return isKnown(unquoted(tokens[at + 1]!));
    return !isCollate(tokens[at - 1]) || isKnown(unquoted(token));
  });
}

/**
 * What each column's declaration names besides: of a generated column what it is computed from, which may be generated too.
 *
 * @param sql CREATE TABLE as `sqlite_schema` has it
 * @param columns all columns, generated ones included
 */
export function namedInColumns(sql: string, columns: readonly string[]): Map<string, readonly string[]> {
  const tokens = tokenize(sql);
  const open = tokens.findIndex(({ text }) => text === "(");
  const named = new Map<string, readonly string[]>();
  let depth = 0;
  let first = open + 1;
  for (let at = open; at < tokens.length; at++) {
    const { text } = tokens[at]!;
    if (text === "(") depth++;
    if (text === ")") depth--;
    if (depth > 1 || (depth === 1 && text !== ",")) continue;
    const [column, ...others] = toExpression(tokens.slice(first, at), columns).columns;
    if (column !== undefined && !named.has(column)) named.set(column, others);
    first = at + 1;
  }
  return named;
}

/** Puts the number 1 in the place of each condition. */
function withoutChecks(tokens: readonly Token[]): Token[] {
  const kept: Token[] = [];
  for (let at = 0; at < tokens.length; at++) {
    kept.push(tokens[at]!);
    if (!/^check$/i.test(tokens[at]!.text) || tokens[at + 1]?.text !== "(") continue;
    const open = tokens[at + 1]!;
    at = closing(tokens, at + 1);
    kept.push(open, { ...open, text: "1" }, tokens[at]!);
  }
  return kept;
}

/** Where the bracket is closed that stands at `open`. */
function closing(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (let at = open; at < tokens.length; at++) {
    if (tokens[at]!.text === "(") depth++;
    if (tokens[at]!.text === ")" && --depth === 0) return at;
  }
  return tokens.length - 1;
}
