import { type Expression, toExpression, type Token, tokenize } from "./tokens.ts";

/** What a CREATE INDEX statement says beyond what the index pragmas tell: the text of its expressions. */
export interface IndexSql {
  /** The indexed terms in order, without ASC and DESC. */
  readonly terms: readonly Expression[];
  /** The condition of a partial index. */
  readonly where: Expression | undefined;
}

/**
 * Reads `CREATE UNIQUE INDEX name ON table (term, …) [WHERE condition]` as SQLite stores it.
 *
 * @param columns all columns of the table, generated ones included
 */
export function parseIndexSql(sql: string, columns: readonly string[]): IndexSql {
  const tokens = tokenize(sql);
  const open = tokens.findIndex((token) => token.text === "(");
  const terms: Expression[] = [];
  let depth = 0;
  let first = open + 1;
  let at = open;
  for (; at < tokens.length; at++) {
    const text = tokens[at]!.text;
    if (text === "(") depth++;
    if (text === ")") depth--;
    if ((text === "," && depth === 1) || depth === 0) {
      terms.push(toExpression(withoutOrder(tokens.slice(first, at)), columns));
      first = at + 1;
    }
    if (depth === 0) break;
  }
  const isPartial = /^where$/i.test(tokens[at + 1]?.text ?? "");
  return { terms, where: isPartial ? toExpression(tokens.slice(at + 2), columns) : undefined };
}

/** `desc` may also be a column: an order stands behind a whole expression, never alone or behind an operator. */
function withoutOrder(tokens: Token[]): Token[] {
  const [before, last] = tokens.slice(-2).map(({ text }) => text);
  const isOrder = /^(asc|desc)$/i.test(last ?? "") && /[\w$\u0080-\u{10FFFF})'"`\]]$/u.test(before!);
  return isOrder ? tokens.slice(0, -1) : tokens;
}
