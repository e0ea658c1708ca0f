/**
 * The content hash of an event: what tells two changes apart that claim the same time and the same node, as happens
 * after an old copy of a database was put back. It decides nothing about trust, so speed counts and secrecy does not.
 *
 * Two 32-bit lanes take four bytes at a time, with different multipliers and rotations so that what cancels out in one
 * lane does not in the other. The multipliers are odd (each step can be undone, so nothing is lost on the way); the
 * rotations carry high bits to where the next multiplication spreads them.
 */

const LOW_FACTOR = 0x9e3779b1; // 2^32 / golden ratio
const HIGH_FACTOR = 0x85ebca6b;
const HIGH_INPUT_FACTOR = 0xc2b2ae35;

/** Where hashing starts for one table and one kind of change. */
export interface HashSeed {
  readonly low: number;
  readonly high: number;
}

/** The seed for a table, given its name as encoded, and the kind of change. */
export function hashSeed(table: Uint8Array, isDelete: boolean): HashSeed {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const hash = hashContent({ low: isDelete ? 1 : 2, high: isDelete ? 3 : 4 }, table, view, 0, table.length);
  return { low: hash >>> 0, high: Math.floor(hash / 0x100000000) };
}

/** The hash, 0 … 2^52 − 1, of bytes from `start` to `end`. `view` is a view of `bytes`. */
export function hashContent(
  seed: HashSeed,
  bytes: Uint8Array,
  view: DataView,
  start: number,
  end: number,
): number {
  let low = seed.low | 0;
  let high = seed.high | 0;
  let position = start;
  for (const whole = end - 4; position <= whole; position += 4) {
    const word = view.getInt32(position, true);
    low = Math.imul((low << 13 | low >>> 19) ^ word, LOW_FACTOR);
    high = high + Math.imul(word, HIGH_INPUT_FACTOR) | 0;
    high = Math.imul(high << 15 | high >>> 17, HIGH_FACTOR);
  }
  let rest = 0;
  for (; position < end; position++) rest = rest << 8 | (bytes[position] as number);
  return finish(low ^ rest, high + Math.imul(rest, HIGH_INPUT_FACTOR) | 0, end - start);
}

/** Spreads every bit of both lanes over the whole result, and takes in the length, which tells zeros at the end apart. */
function finish(low: number, high: number, length: number): number {
  low = avalanche(low ^ length);
  high = avalanche(high ^ low);
  low = avalanche(low ^ high);
  return (high & 0xfffff) * 0x100000000 + (low >>> 0);
}

function avalanche(lane: number): number {
  lane = Math.imul(lane ^ lane >>> 16, HIGH_FACTOR);
  lane = Math.imul(lane ^ lane >>> 13, HIGH_INPUT_FACTOR);
  return lane ^ lane >>> 16;
}
