/** Runs of consecutive ids, each as its first and last. */
export function toRanges(ids: readonly bigint[]): [bigint, bigint][] {
  const ranges: [bigint, bigint][] = [];
  for (const id of ids) {
    const range = ranges.at(-1);
    if (range && id === range[1] + 1n) range[1] = id;
    else ranges.push([id, id]);
  }
  return ranges;
}
