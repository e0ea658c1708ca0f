import { bindable, keyParameters } from "../apply/row_sql.ts";
import type { Parameter } from "../sqlite/database.ts";
import { decodeKey, type EncodedKey } from "./key.ts";

/** Rows with keys above `after`, up to and with `upTo`; undefined means no bound. */
export interface KeyRange {
  readonly after: EncodedKey | undefined;
  readonly upTo: EncodedKey | undefined;
}

/**
 * The conditions, joined by AND, that a row is in a range, with their parameters; `1` where there is no bound.
 *
 * @param key SQL expressions of the key's columns, in its order
 */
export function inRange(key: readonly string[], { after, upTo }: KeyRange): {
  readonly sql: string;
  readonly parameters: Parameter[];
} {
  const bounds = [[">", after], ["<=", upTo]] as const;
  const given = bounds.flatMap(([operator, bound]) => bound ? [{ operator, values: decodeKey(bound) }] : []);
  const conditions = given.map(({ operator, values }) =>
    `(${key.join(", ")}) ${operator} (${keyParameters(values).join(", ")})`
  );
  return {
    sql: conditions.length > 0 ? conditions.join(" AND ") : "1",
    parameters: given.flatMap(({ values }) => values.map(bindable)),
  };
}
