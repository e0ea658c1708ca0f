/**
 * What decides between two changes of one row: the newer clock, then the higher node id, then the content (DESIGN
 * section 3: a restored old copy, or two nodes with one id, can use a clock value of a node twice).
 */
export interface Version {
  /** Hybrid clock, Unix nanoseconds. */
  readonly ts: bigint;
  readonly node: bigint;
  /** Content hash, 0 … 2^52 − 1. */
  readonly hash: number;
}

/** Negative when `a` loses against `b`, positive when it wins, 0 for the same version. */
export function compareVersions(a: Version, b: Version): number {
  if (a.ts !== b.ts) return a.ts < b.ts ? -1 : 1;
  if (a.node !== b.node) return a.node < b.node ? -1 : 1;
  return a.hash - b.hash;
}
