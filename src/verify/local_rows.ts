import { keyText } from "../apply/key_text.ts";
import { readPositions } from "../apply/position.ts";
import type { SchemaTracker } from "../capture/schema_tracker.ts";
import { type FollowedTable, rowKinds, schemaVersion } from "../schema/followed_tables.ts";
import { StreamError } from "../lib/errors.ts";
import { sleep, yieldToEventLoop } from "../lib/sleep.ts";
import type { Database } from "../sqlite/database.ts";
import { decodeParts } from "../wire/batch.ts";
import type { ChangeEvent } from "../wire/event.ts";
import { hasReadAll, type Progress } from "./judge.ts";
import { decodeKey, type EncodedKey } from "./key.ts";
import type { DigestedRange, RowHolder, RowKind, StatesAt } from "./row_holder.ts";
import type { KeyRange } from "./key_range.ts";
import { TableRows } from "./table_rows.ts";

/** How long what another node has applied may take to be applied here. */
const CATCH_UP_TIMEOUT_MS = 5_000;
const CATCH_UP_POLL_MS = 20;

export interface LocalRowsOptions {
  /** A connection of its own, as it holds read snapshots. */
  readonly database: Database;
  readonly schema: SchemaTracker;
  /** Writes rows of other nodes as the streams would have; returns how many were written. */
  readonly repair: (events: readonly ChangeEvent[]) => Promise<number>;
  readonly signal: AbortSignal;
}

/** The rows of this node. Each method reads on a snapshot of its own, so that no application waits for a long one. */
export class LocalRows implements RowHolder {
  readonly #options: LocalRowsOptions;

  constructor(options: LocalRowsOptions) {
    this.#options = options;
  }

  /** The kinds of rows that can be compared with others. */
  async kinds(): Promise<RowKind[]> {
    const { schema, signal } = this.#options;
    await schema.refresh(signal);
    return [...schema.current.tables.values()].flatMap((table) =>
      rowKinds(table).map((rows) => ({
        table: table.name,
        nulls: rows.nullKey.length > 0,
        columns: columnsOf(rows),
        key: rows.key.map(({ name }) => name),
      }))
    );
  }

  async refusal(kind: RowKind): Promise<string | undefined> {
    const own = (await this.kinds()).find(({ table, nulls }) => table === kind.table && nulls === kind.nulls);
    if (!own) return "it has no such table, or does not follow it";
    return own.columns.join("\0") === kind.columns.join("\0") ? undefined : "its table has other columns";
  }

  /** The ranges of at most `limit` rows that a range consists of; together they leave out no key. */
  async *partition(kind: RowKind, { after, upTo }: KeyRange, limit: number): AsyncGenerator<DigestedRange> {
    for (let start = after;;) {
      const next = await this.#read(kind, (rows) => rows.next({ after: start, upTo }, limit));
      const isLast = next === undefined || next.count < limit;
      const range = { after: start, upTo: isLast ? upTo : next.last };
      yield { ...range, ...await this.#read(kind, (rows) => next && !isLast ? next : rows.digest(range)) };
      if (isLast) return;
      start = next.last;
      await yieldToEventLoop();
    }
  }

  async differing(kind: RowKind, ranges: readonly DigestedRange[]): Promise<number[]> {
    const found: number[] = [];
    for (const [index, range] of ranges.entries()) {
      const { digest } = await this.#read(kind, (rows) => rows.digest(range));
      if (digest !== range.digest) found.push(index);
      await yieldToEventLoop();
    }
    return found;
  }

  /** Of keys that are one key to the table, such as `a` and `A` under a collation, the first. */
  distinct(kind: RowKind, keys: readonly EncodedKey[]): Promise<EncodedKey[]> {
    return this.#read(kind, ({ table }) => [
      ...new Map(keys.toReversed().map((key) => [keyText(table.key, decodeKey(key)), key])).values(),
    ]);
  }

  rows(kind: RowKind, range: KeyRange, limit: number): Promise<{ key: EncodedKey; hash: number }[]> {
    return this.#read(kind, (rows) => rows.read(range, limit));
  }

  async states(kind: RowKind, keys: readonly EncodedKey[], since: Progress): Promise<StatesAt> {
    const deadline = Date.now() + CATCH_UP_TIMEOUT_MS;
    for (;;) {
      const found = await this.#read(
        kind,
        (rows, progress) =>
          hasReadAll(progress, since)
            ? { progress, columns: columnsOf(rows.table), states: rows.states(keys) }
            : undefined,
      );
      if (found) return found;
      if (Date.now() > deadline) throw behind();
      await sleep(CATCH_UP_POLL_MS, this.#options.signal);
    }
  }

  events(kind: RowKind, keys: readonly EncodedKey[]): Promise<Uint8Array[]> {
    return this.#read(kind, (rows) => keys.map((key) => rows.event(key)));
  }

  take(_kind: RowKind, events: readonly Uint8Array[]): Promise<number> {
    return this.#options.repair(events.flatMap((event) => [...decodeParts([event])].flat()));
  }

  /** Reads under the schema as it is at that moment. */
  async #read<T>(kind: RowKind, work: (rows: TableRows, progress: Progress) => T): Promise<T> {
    const { database, schema, signal } = this.#options;
    for (;;) {
      await schema.refresh(signal);
      const { version, tables } = schema.current;
      const table = tables.get(kind.table);
      const rows = kind.nulls ? table?.nullRows : table;
      if (!rows) {
        throw new StreamError("TABLE_GONE", `Cannot compare table "${kind.table}": it is gone`, {
          transient: true,
        });
      }
      const result = await database.read(
        () =>
          schemaVersion(database) === version
            ? { value: work(new TableRows(database, rows), readProgress(database)) }
            : undefined,
        signal,
      );
      if (result) return result.value;
    }
  }
}

function columnsOf({ columns }: FollowedTable): string[] {
  return columns.map(({ name }) => name);
}

function readProgress(database: Database): Progress {
  return new Map(
    readPositions(database).map(({ stream, created, sequence }) => [stream, { created, sequence }]),
  );
}

function behind(): StreamError {
  return new StreamError("BEHIND", "Cannot compare rows: this node has not applied what the other one has", {
    transient: true,
  });
}
