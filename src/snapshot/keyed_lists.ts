import { keyText } from "../apply/key_text.ts";
import { yieldToEventLoop } from "../lib/sleep.ts";
import type { FollowedTable } from "../schema/followed_tables.ts";
import { valueColumn } from "../schema/names.ts";
import type { Database } from "../sqlite/database.ts";
import { exactColumns, ExactValues } from "../sqlite/exact_row.ts";
import { quote } from "../sqlite/identifier.ts";
import { decodeKey, type EncodedKey, encodeKey } from "../verify/key.ts";
import { inRange, type KeyRange } from "../verify/key_range.ts";
import { TableRows } from "../verify/table_rows.ts";
import { type Block, Blocks, rowSource, versionSource } from "./blocks.ts";

/** Rows that are listed at a time: each of them may be large. */
const ROWS_AT_A_TIME = 64;
const BLOCKS_BETWEEN_YIELDS = 8;

/** A key, and what stands under it: equal marks mean that nothing differs. */
interface MarkedKey {
  readonly key: EncodedKey;
  readonly mark: number | string;
}

/** Something by key, in order of the key. */
export interface KeyedList {
  /** The same, to be compared without making values of it. */
  readonly blocks: Blocks;
  /** The first entries of a range, at most so many. */
  read(range: KeyRange, limit: number): Promise<MarkedKey[]>;
}

/** The rows of one kind. */
export function rowList(database: Database, table: FollowedTable): KeyedList {
  const rows = new TableRows(database, table);
  return {
    blocks: new Blocks(database, rowSource(table)),
    read: (range, limit) =>
      database.look(() => rows.read(range, limit).map(({ key, hash }) => ({ key, mark: hash }))),
  };
}

/** The versions of the rows of one kind, tombstones and marks included. */
export function versionList(database: Database, table: FollowedTable): KeyedList {
  const exact = new ExactValues(database);
  const columns = table.key.map(({ name }) => quote(valueColumn(name)));
  const select = `SELECT ts || ' ' || node || ' ' || hash || ' ' || deleted, ${exactColumns(columns)}
    FROM ${quote(table.versionTable)}`;
  return {
    blocks: new Blocks(database, versionSource(table)),
    read: (range, limit) => {
      const { sql, parameters } = inRange(columns, range);
      return database.look(() =>
        database.all(
          `${select} WHERE ${sql} ORDER BY ${columns.join(", ")} LIMIT ?`,
          ...parameters,
          BigInt(limit),
        )
          .map(([mark, ...key]) => ({ key: encodeKey(exact.of(key)), mark: String(mark) }))
      );
    },
  };
}

/** The keys under which two lists differ, in groups. What is written meanwhile may be found, or not. */
export async function* differences(
  table: FollowedTable,
  theirs: KeyedList,
  ours: KeyedList | undefined,
): AsyncGenerator<EncodedKey[]> {
  for (let after: EncodedKey | undefined, count = 0, more = true; more; count++) {
    if (count % BLOCKS_BETWEEN_YIELDS === 0) await yieldToEventLoop();
    const block = await theirs.blocks.next(after);
    const isEqual = ours && await theirs.blocks.areIn(ours.blocks, block);
    if (!isEqual) yield* differencesIn(block, table, theirs, ours);
    after = block.upTo;
    more = after !== undefined;
  }
}

async function* differencesIn(
  block: Block,
  table: FollowedTable,
  theirs: KeyedList,
  ours: KeyedList | undefined,
): AsyncGenerator<EncodedKey[]> {
  const textOf = (key: EncodedKey): string => keyText(table.key, decodeKey(key));
  const rest = new Map<string, MarkedKey>();
  for await (const entries of within(theirs, block)) {
    for (const entry of entries) rest.set(textOf(entry.key), entry);
  }
  for await (const entries of ours ? within(ours, block) : []) {
    const found: EncodedKey[] = [];
    for (const { key, mark } of entries) {
      const text = textOf(key);
      if (rest.get(text)?.mark !== mark) found.push(key);
      rest.delete(text);
    }
    yield found;
  }
  yield [...rest.values()].map(({ key }) => key);
}

/** All entries of a range, some at a time. */
async function* within(list: KeyedList, { after, upTo }: KeyRange): AsyncGenerator<MarkedKey[]> {
  for (let start = after, more = true; more;) {
    const group = await list.read({ after: start, upTo }, ROWS_AT_A_TIME);
    more = group.length === ROWS_AT_A_TIME;
    yield group;
    await yieldToEventLoop();
    start = group.at(-1)?.key;
  }
}
