import type { KnownColumns } from "./cluster_schemas.ts";

/** How a table of another node differs from the one here. Columns in their order. */
export interface TableDifference {
  readonly table: string;
  /** `missing`: that node has no such table. `extra`: it is not here. */
  readonly state: "missing" | "extra" | "differs";
  readonly missingColumns: readonly string[];
  readonly extraColumns: readonly string[];
  /** The key there, when it is another one. */
  readonly key: readonly string[] | undefined;
}

type Tables = ReadonlyMap<string, KnownColumns>;

/** What the tables of another node lack or have beyond those here, by name. */
export function differencesOf(here: Tables, there: Tables): TableDifference[] {
  const names = [...new Set([...here.keys(), ...there.keys()])].sort();
  return names.flatMap((table) => differenceOf(table, here.get(table), there.get(table)) ?? []);
}

function differenceOf(table: string, here?: KnownColumns, there?: KnownColumns): TableDifference | undefined {
  const whole = { table, missingColumns: [], extraColumns: [], key: undefined };
  if (here === undefined) return { ...whole, state: "extra" };
  if (there === undefined) return { ...whole, state: "missing" };
  const missingColumns = [...here.columns].filter((name) => !there.columns.has(name));
  const extraColumns = [...there.columns].filter((name) => !here.columns.has(name));
  const key = JSON.stringify(here.key) === JSON.stringify(there.key) ? undefined : there.key;
  const isSame = missingColumns.length + extraColumns.length === 0 && key === undefined;
  return isSame ? undefined : { table, state: "differs", missingColumns, extraColumns, key };
}
