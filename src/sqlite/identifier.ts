/** An identifier as it must stand in SQL text, whatever characters it holds. */
export function quote(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

/** A text literal. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** The quoted identifiers in SQL text, in order, without their quotes. The text must hold no `"` in literals or comments. */
export function quotedNames(sql: string): string[] {
  return [...sql.matchAll(/"((?:[^"]|"")*)"/g)].map(([, name]) => name!.replaceAll('""', '"'));
}

const QUOTED_OR_COMMENT =
  /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/g;

/** SQL text with a bare `x` for each name or literal in quotes and each comment: what is left can be searched for syntax. */
export function withoutQuoted(sql: string): string {
  return sql.replace(QUOTED_OR_COMMENT, " x ");
}
