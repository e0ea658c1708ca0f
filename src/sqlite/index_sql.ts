/** What a CREATE INDEX statement says beyond what the index pragmas tell: the text of its expressions. */
export interface IndexSql {
  /** The indexed terms in order, as written, without COLLATE, ASC and DESC. */
  readonly terms: readonly string[];
  /** The condition of a partial index. */
  readonly where: string | undefined;
}

/** One lexical piece: where it lies, and whether it is a bare word or punctuation that can have a meaning here. */
interface Token {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const TOKEN =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|[\p{L}\p{N}_$]+|\S/gu;

function tokenize(sql: string): Token[] {
  return [...sql.matchAll(TOKEN)]
    .map((match) => ({ text: match[0], start: match.index, end: match.index + match[0].length }))
    .filter((token) => !token.text.startsWith("--") && !token.text.startsWith("/*"));
}

/** Reads `CREATE UNIQUE INDEX name ON table (term, …) [WHERE condition]` as SQLite stores it. */
export function parseIndexSql(sql: string): IndexSql {
  const tokens = tokenize(sql);
  const open = tokens.findIndex((token) => token.text === "(");
  const terms: string[] = [];
  let depth = 0;
  let first = open + 1;
  let at = open;
  for (; at < tokens.length; at++) {
    const text = tokens[at]!.text;
    if (text === "(") depth++;
    if (text === ")") depth--;
    if ((text === "," && depth === 1) || depth === 0) {
      terms.push(termText(sql, tokens.slice(first, at)));
      first = at + 1;
    }
    if (depth === 0) break;
  }
  const where = tokens[at + 1];
  return { terms, where: where && /^where$/i.test(where.text) ? sql.slice(where.end).trim() : undefined };
}

/** A term without its order and collation: those are known from the pragma. */
function termText(sql: string, tokens: Token[]): string {
  let end = tokens.length;
  if (/^(asc|desc)$/i.test(tokens[end - 1]?.text ?? "")) end--;
  if (/^collate$/i.test(tokens[end - 2]?.text ?? "")) end -= 2;
  return sql.slice(tokens[0]!.start, tokens[end - 1]!.end);
}
