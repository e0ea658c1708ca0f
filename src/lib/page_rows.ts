/**
 * How many rows to take next, so that they come to about so many bytes: one at least, `most` at most, and no more than twice as
 * many as the last time, for what comes may be larger.
 *
 * @param last how many rows were taken, and how many bytes they had
 */
export function nextPageRows(
  last: { readonly rows: number; readonly bytes: number },
  aim: { readonly bytes: number; readonly most: number },
): number {
  const rows = Math.floor(last.rows * Math.min(2, aim.bytes / last.bytes));
  return Math.max(1, Math.min(rows, aim.most));
}
