/** First and last of a run of consecutive ids. */
export type IdRange = readonly [first: bigint, last: bigint];

/** A set of ids that mostly come one after the other: a hundred thousand take no more room than one. */
export class IdRanges {
  readonly #ranges: [bigint, bigint][] = [];

  static of(ids: Iterable<bigint>): IdRanges {
    const ranges = new IdRanges();
    for (const id of ids) ranges.add(id);
    return ranges;
  }

  /** Adds an id that is not in the set yet. */
  add(id: bigint): void {
    const range = this.#ranges.at(-1);
    if (range && id === range[1] + 1n) range[1] = id;
    else this.#ranges.push([id, id]);
  }

  /** The ids in the order in which they were added, as ranges of at most `maxIds`. */
  *pieces(maxIds = Infinity): Generator<IdRange> {
    for (const [first, last] of this.#ranges) {
      if (maxIds === Infinity) yield [first, last];
      else {
        for (let from = first; from <= last; from += BigInt(maxIds)) {
          const to = from + BigInt(maxIds) - 1n;
          yield [from, to < last ? to : last];
        }
      }
    }
  }

  /** The same ranges, some at a time: those of a group have at most `maxIds` ids all together. */
  *groups(maxIds: number): Generator<IdRange[]> {
    let group: IdRange[] = [];
    let count = 0;
    for (const piece of this.pieces(maxIds)) {
      if (count + countOf(piece) > maxIds) {
        yield group;
        [group, count] = [[], 0];
      }
      group.push(piece);
      count += countOf(piece);
    }
    if (group.length > 0) yield group;
  }
}

export function countOf([first, last]: IdRange): number {
  return Number(last - first) + 1;
}
