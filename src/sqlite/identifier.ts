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
