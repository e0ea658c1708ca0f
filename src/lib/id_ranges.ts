/** First and last of a run of consecutive ids. */
export type IdRange = readonly [first: bigint, last: bigint];

/**
 * A set of ids, 64 bits each, that mostly come one after the other: a hundred thousand take no more room than one. Those that do
 * not take 16 bytes each, outside of V8's heap.
 */
export class IdRanges {
  /** First and last id of each range in turn. */
  #bounds = new BigInt64Array(2);
  #length = 0;

  static of(ids: Iterable<bigint>): IdRanges {
    const ranges = new IdRanges();
    for (const id of ids) ranges.add(id);
    return ranges;
  }

  /** Adds an id that is not in the set yet. */
  add(id: bigint): void {
    if (this.#length > 0 && id === this.#bounds[this.#length - 1]! + 1n) this.#bounds[this.#length - 1] = id;
    else this.#begin(id);
  }

  #begin(id: bigint): void {
    if (this.#length === this.#bounds.length) {
      const longer = new BigInt64Array(this.#length * 2);
      longer.set(this.#bounds);
      this.#bounds = longer;
    }
    this.#bounds[this.#length++] = id;
    this.#bounds[this.#length++] = id;
  }

  /** The ids in the order in which they were added, as ranges of at most `maxIds`. */
  *pieces(maxIds = Infinity): Generator<IdRange> {
    for (let at = 0; at < this.#length; at += 2) {
      const [first, last] = [this.#bounds[at]!, this.#bounds[at + 1]!];
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
