/** Folds the letters that SQLite folds, in names and under NOCASE: ASCII ones only. */
export function foldCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
