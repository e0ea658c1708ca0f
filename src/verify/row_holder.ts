import type { Progress } from "./judge.ts";
import type { EncodedKey } from "./key.ts";
import type { KeyRange } from "./key_range.ts";
import type { RowState } from "./table_rows.ts";

/** Rows of one kind of one table; both sides must have the same columns, or there is nothing to compare. */
export interface RowKind {
  readonly table: string;
  /** Whether it is those with NULL in their key. */
  readonly nulls: boolean;
  readonly columns: readonly string[];
  readonly key: readonly string[];
}

export interface DigestedRange extends KeyRange {
  readonly count: number;
  readonly digest: string;
}

export interface StatesAt {
  readonly progress: Progress;
  /** Those of the rows at that moment: hashes over other columns say nothing. */
  readonly columns: readonly string[];
  readonly states: readonly RowState[];
}

/** A node whose rows are compared: this one, or another one that is asked. */
export interface RowHolder {
  /** Why rows of this kind cannot be compared here; undefined when they can. */
  refusal(kind: RowKind): Promise<string | undefined>;
  /** Indexes of the ranges that hold something else here. */
  differing(kind: RowKind, ranges: readonly DigestedRange[]): Promise<number[]>;
  /** The first rows of a range, at most `limit`, with their hashes. */
  rows(kind: RowKind, range: KeyRange, limit: number): Promise<{ key: EncodedKey; hash: number }[]>;
  /** Rows as they are when everything up to `since` is applied; rejects with a transient StreamError when that takes long. */
  states(kind: RowKind, keys: readonly EncodedKey[], since: Progress): Promise<StatesAt>;
  /** Rows as events under their stored versions. */
  events(kind: RowKind, keys: readonly EncodedKey[]): Promise<Uint8Array[]>;
  /** Takes rows over from {@link events} of another node; returns how many were written. */
  take(kind: RowKind, events: readonly Uint8Array[]): Promise<number>;
}
