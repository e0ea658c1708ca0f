import { StreamError } from "../lib/errors.ts";
import { sleep } from "../lib/sleep.ts";
import { holds, judge } from "./judge.ts";
import type { EncodedKey } from "./key.ts";
import type { LocalRows } from "./local_rows.ts";
import type { DigestedRange, RowHolder, RowKind } from "./row_holder.ts";
import type { KeyRange } from "./key_range.ts";
import type { RowState } from "./table_rows.ts";

/** Rows that share a digest at first, and after a difference was found among them. */
const ROWS_IN_RANGE = 16_384;
const ROWS_IN_SMALL_RANGE = 128;
/** Digests sent in one request: while the other node works on them, this one goes on with the next. */
const RANGES_IN_REQUEST = 8;
/** Rows that are listed, judged or repaired at a time. */
const ROWS_AT_A_TIME = 256;
/** A table with more different rows than this is reported with so many. */
export const MAX_DIFFERENCES = 10_000;
/** How long rows that are being written are looked at again, unless told otherwise. */
const SETTLE_TIMEOUT_MS = 10_000;
const SETTLE_POLL_MS = 100;

/** A row that is not the same on two nodes, and will not become so by itself. */
export interface Difference {
  readonly here: RowState;
  readonly there: RowState;
  /** Whose row has the higher version. */
  readonly holds: "here" | "there";
}

/** What comparing one kind of rows of a table with another node came to. */
export interface TableResult {
  readonly kind: RowKind;
  readonly rows: number;
  readonly differences: readonly Difference[];
  /** Rows that were written without pause while they were compared. */
  readonly open: number;
  /** Why nothing was compared. */
  readonly refused: string | undefined;
}

/** What comparing with one other node came to. */
export interface NodeResult {
  readonly node: bigint;
  readonly tables: readonly TableResult[];
  /** Rows written by the repair, here and there; undefined without one. */
  readonly repaired: number | undefined;
  /** Why the node could not be compared, or not to the end. */
  readonly failure: string | undefined;
}

/** Compares the rows of this node with those of another while applications write to both. */
export class Comparison {
  readonly #here: LocalRows;
  readonly #there: RowHolder;
  readonly #signal: AbortSignal;
  readonly #settleTimeoutMs: number;

  constructor(here: LocalRows, there: RowHolder, signal: AbortSignal, settleTimeoutMs = SETTLE_TIMEOUT_MS) {
    this.#here = here;
    this.#there = there;
    this.#signal = signal;
    this.#settleTimeoutMs = settleTimeoutMs;
  }

  async compare(kind: RowKind): Promise<TableResult> {
    const refused = await this.#there.refusal(kind);
    if (refused !== undefined) return { kind, rows: 0, differences: [], open: 0, refused };
    let rows = 0;
    let open = 0;
    const differences: Difference[] = [];
    const everything = { after: undefined, upTo: undefined };
    for await (const { range, differs } of this.#ranges(kind, everything, ROWS_IN_RANGE)) {
      rows += range.count;
      if (!differs || differences.length >= MAX_DIFFERENCES) continue;
      for await (const keys of this.#suspects(kind, range)) {
        const judged = await this.#judge(kind, keys);
        differences.push(...judged.differences);
        open += judged.open;
      }
    }
    return { kind, rows, differences, open, refused };
  }

  /** Gives each row to the node that has it in a lower version; returns how many rows were written, here or there. */
  async repair({ kind, differences }: TableResult): Promise<number> {
    const of = (side: "here" | "there"): EncodedKey[] =>
      differences.filter((difference) => difference.holds === side).map(({ here }) => here.key);
    let written = 0;
    for (const keys of chunks(of("there"), ROWS_AT_A_TIME)) {
      written += await this.#here.take(kind, await this.#there.events(kind, keys));
    }
    for (const keys of chunks(of("here"), ROWS_AT_A_TIME)) {
      written += await this.#there.take(kind, await this.#here.events(kind, keys));
    }
    return written;
  }

  /** The ranges that a range consists of, and whether they hold something else there. */
  async *#ranges(kind: RowKind, whole: KeyRange, limit: number): AsyncGenerator<JudgedRange> {
    let asked: Promise<JudgedRange[]> = Promise.resolve([]);
    for await (const ranges of groups(this.#here.partition(kind, whole, limit))) {
      const before = asked;
      asked = this.#ask(kind, ranges);
      // It is awaited a round later.
      asked.catch(() => {});
      yield* await before;
    }
    yield* await asked;
  }

  async #ask(kind: RowKind, ranges: readonly DigestedRange[]): Promise<JudgedRange[]> {
    const differing = new Set(await this.#there.differing(kind, ranges));
    return ranges.map((range, index) => ({ range, differs: differing.has(index) }));
  }

  /** Keys of rows of a range that are not the same on both sides at this moment. */
  async *#suspects(kind: RowKind, whole: KeyRange): AsyncGenerator<EncodedKey[]> {
    for await (const { range, differs } of this.#ranges(kind, whole, ROWS_IN_SMALL_RANGE)) {
      if (differs) yield* this.#unlike(kind, range);
    }
  }

  /** Goes through a range on both sides, as far as both were listed, and yields keys whose rows are not alike. */
  async *#unlike(kind: RowKind, range: KeyRange): AsyncGenerator<EncodedKey[]> {
    for (let { after } = range, more = true; more;) {
      const rest = { after, upTo: range.upTo };
      const there = await this.#there.rows(kind, rest, ROWS_AT_A_TIME);
      more = there.length === ROWS_AT_A_TIME;
      const listed = { after, upTo: more ? there.at(-1)!.key : range.upTo };
      const here = await this.#here.rows(kind, listed, Infinity);
      const keys = unlike(here, there);
      if (keys.length > 0) yield keys;
      after = listed.upTo;
    }
  }

  /** Looks at rows here, there and here again until each is judged, or the time is up. */
  async #judge(
    kind: RowKind,
    keys: readonly EncodedKey[],
  ): Promise<{ differences: Difference[]; open: number }> {
    const deadline = Date.now() + this.#settleTimeoutMs;
    const differences: Difference[] = [];
    for (let open: readonly EncodedKey[] = await this.#here.distinct(kind, keys);;) {
      try {
        open = await this.#look(kind, open, differences);
      } catch (error) {
        if (!(error instanceof StreamError && error.transient) || Date.now() > deadline) throw error;
      }
      if (open.length === 0 || Date.now() > deadline) return { differences, open: open.length };
      await sleep(SETTLE_POLL_MS, this.#signal);
    }
  }

  /** Returns the keys that are still open. */
  async #look(kind: RowKind, keys: readonly EncodedKey[], found: Difference[]): Promise<EncodedKey[]> {
    const open: EncodedKey[] = [];
    for (const some of chunks(keys, ROWS_AT_A_TIME)) {
      const before = await this.#here.states(kind, some, new Map());
      const there = await this.#there.states(kind, some, before.progress);
      const after = await this.#here.states(kind, some, there.progress);
      // A schema that changes in between reaches every node: then they are looked at again.
      const isOneShape = new Set([before, there, after].map(({ columns }) => columns.join("\0"))).size === 1;
      for (const [at, key] of some.entries()) {
        const looks = { before: before.states[at]!, there: there.states[at]!, after: after.states[at]! };
        const judgement = isOneShape ? judge(looks) : "open";
        if (judgement === "open") open.push(key);
        if (judgement !== "differs") continue;
        found.push({ here: looks.after, there: looks.there, holds: holds(looks.after, looks.there) });
      }
    }
    return open;
  }
}

interface JudgedRange {
  readonly range: DigestedRange;
  readonly differs: boolean;
}

interface HashedKey {
  readonly key: EncodedKey;
  readonly hash: number;
}

/** Keys that only one side has, or has with other content. */
function unlike(here: readonly HashedKey[], there: readonly HashedKey[]): EncodedKey[] {
  const rest = new Map(there.map((row) => [row.key.toHex(), row]));
  const keys: EncodedKey[] = [];
  for (const { key, hash } of here) {
    const text = key.toHex();
    if (rest.get(text)?.hash !== hash) keys.push(key);
    rest.delete(text);
  }
  return [...keys, ...[...rest.values()].map(({ key }) => key)];
}

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

async function* groups(ranges: AsyncIterable<DigestedRange>): AsyncGenerator<DigestedRange[]> {
  let group: DigestedRange[] = [];
  for await (const range of ranges) {
    group.push(range);
    if (group.length < RANGES_IN_REQUEST) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
