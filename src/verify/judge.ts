import { compareVersions, type Version } from "../apply/version.ts";
import type { RowState } from "./table_rows.ts";

/** How far streams were applied when rows were looked at: by stream, its creation time and the last sequence. */
export type Progress = ReadonlyMap<string, { readonly created: string; readonly sequence: number }>;

/** One row of two nodes, looked at here, then there, then here again; each time the node had read all that the one before had. */
export interface Looks {
  readonly before: RowState;
  readonly there: RowState;
  readonly after: RowState;
}

/**
 * - `equal`: the row is the same, or was when both had read the same;
 * - `differs`: it is not, and nothing that is still to come will make it so;
 * - `open`: writes are on their way; look again.
 */
export type Judgement = "equal" | "differs" | "open";

/**
 * Judges a row without stopping anybody. A node that has read at least as much as another must not have an older version
 * of a row than that one had; and for one version a row can only go (another one takes its UNIQUE value), never come.
 */
export function judge({ before, there, after }: Looks): Judgement {
  if (there.hash === before.hash || there.hash === after.hash) return "equal";
  if (before.isOnItsWay || there.isOnItsWay || after.isOnItsWay) return "open";
  // A version goes when its tombstone has expired, which may be long after it was written for a node that was behind.
  if (before.version && !after.version) return "open";
  if (compare(there, before) < 0 || compare(after, there) < 0) return "differs";
  if (compare(after, there) > 0) return "open";
  // One version. Where the row is gone here but not there, it may have gone since there was looked.
  const mayHaveGone = before.hash !== undefined || compare(before, there) !== 0;
  return after.hash === undefined && mayHaveGone ? "open" : "differs";
}

/** Which of two rows of one key holds when they differ: the higher version, then the one that its version was made of. */
export function holds(here: RowState, there: RowState): "here" | "there" {
  const order = compare(here, there);
  if (order !== 0) return order > 0 ? "here" : "there";
  if (here.isAsVersioned !== there.isAsVersioned) return here.isAsVersioned ? "here" : "there";
  return (here.hash ?? -1) >= (there.hash ?? -1) ? "here" : "there";
}

const NEVER: Version = { ts: 0n, node: 0n, hash: 0 };

function compare(a: RowState, b: RowState): number {
  return compareVersions(a.version ?? NEVER, b.version ?? NEVER);
}

/** Whether one has read everything that the other had. */
export function hasReadAll(progress: Progress, of: Progress): boolean {
  return [...of].every(([stream, { created, sequence }]) => {
    const own = progress.get(stream);
    return own !== undefined && own.created === created && own.sequence >= sequence;
  });
}
