import { keyText } from "../apply/key_text.ts";
import { bindable, keyParameters } from "../apply/row_sql.ts";
import { yieldToEventLoop } from "../lib/sleep.ts";
import { valueColumn } from "../schema/names.ts";
import { type FollowedTable, hasOneForm } from "../schema/followed_tables.ts";
import type { Database } from "../sqlite/database.ts";
import { exactColumns, ExactValues } from "../sqlite/exact_row.ts";
import { quote } from "../sqlite/identifier.ts";
import { decodeKey, type EncodedKey, encodeKey } from "../verify/key.ts";
import { type KeyRange, TableRows } from "../verify/table_rows.ts";

/** Keys that are held on each side at a time. */
const KEYS_AT_A_TIME = 1024;

/** A key, and what stands under it: equal marks mean that nothing differs. */
interface MarkedKey {
  readonly key: EncodedKey;
  readonly mark: number | string;
}

/** Something by key, in order of the key. */
export interface KeyedList {
  /** The first entries of a range, at most so many. */
  read(range: KeyRange, limit: number): Promise<MarkedKey[]>;
}

/** The rows of one kind. */
export function rowList(database: Database, table: FollowedTable): KeyedList {
  const rows = new TableRows(database, table);
  return {
    read: (range, limit) =>
      database.look(() => rows.read(range, limit).map(({ key, hash }) => ({ key, mark: hash }))),
  };
}

/** The versions of the rows of one kind, tombstones and marks included. */
export function versionList(database: Database, table: FollowedTable): KeyedList {
  const exact = new ExactValues(database);
  const columns = table.key.map(({ name }) => quote(valueColumn(name)));
  const list = columns.join(", ");
  const select = `SELECT ts || ' ' || node || ' ' || hash || ' ' || deleted, ${exactColumns(columns)} FROM ${
    quote(table.versionTable)
  }`;
  return {
    read: ({ after, upTo }, limit) => {
      const bounds = [[">", after], ["<=", upTo]] as const;
      const given = bounds.flatMap(([operator, key]) => key ? [{ operator, values: decodeKey(key) }] : []);
      const conditions = given.map(({ operator, values }) =>
        `(${list}) ${operator} (${keyParameters(values).join(", ")})`
      );
      const where = conditions.length > 0 ? `WHERE ${conditions.join(" AND ")}` : "";
      const parameters = given.flatMap(({ values }) => values.map(bindable));
      const sql = `${select} ${where} ORDER BY ${list} LIMIT ?`;
      return database.look(() =>
        database.all(sql, ...parameters, BigInt(limit))
          .map(([mark, ...key]) => ({ key: encodeKey(exact.of(key)), mark: String(mark) }))
      );
    },
  };
}

const EMPTY: KeyedList = { read: () => Promise.resolve([]) };

/** The keys under which two lists differ, in groups. What is written meanwhile may be found, or not. */
export async function* differences(
  table: FollowedTable,
  theirs: KeyedList,
  ours: KeyedList = EMPTY,
): AsyncGenerator<EncodedKey[]> {
  const isPlain = table.key.every((column) => hasOneForm(table, column));
  const textOf = (key: EncodedKey): string => isPlain ? key.toHex() : keyText(table.key, decodeKey(key));
  for (let after: EncodedKey | undefined, more = true; more;) {
    const group = await theirs.read({ after, upTo: undefined }, KEYS_AT_A_TIME);
    more = group.length === KEYS_AT_A_TIME;
    const upTo = more ? group.at(-1)!.key : undefined;
    const rest = new Map(group.map((entry) => [textOf(entry.key), entry]));
    const found: EncodedKey[] = [];
    for await (const { key, mark } of within(ours, { after, upTo })) {
      const text = textOf(key);
      if (rest.get(text)?.mark !== mark) found.push(key);
      rest.delete(text);
      if (found.length === KEYS_AT_A_TIME) yield found.splice(0);
    }
    found.push(...[...rest.values()].map(({ key }) => key));
    if (found.length > 0) yield found;
    await yieldToEventLoop();
    after = upTo;
  }
}

async function* within(list: KeyedList, { after, upTo }: KeyRange): AsyncGenerator<MarkedKey> {
  for (let start = after, more = true; more;) {
    const group = await list.read({ after: start, upTo }, KEYS_AT_A_TIME);
    more = group.length === KEYS_AT_A_TIME;
    yield* group;
    start = group.at(-1)?.key;
  }
}
