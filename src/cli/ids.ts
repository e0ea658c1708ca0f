import { HarmonyLiteError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { Database } from "../sqlite/database.ts";
import { type IdRange, type RangedTable, rangeOf, readRangedTables, startRange } from "../doctor/id_range.ts";
import { loadChoice } from "./check.ts";
import { type IdsCommand, type RangeChoice, UsageError } from "./command.ts";
import type { Io } from "./io.ts";

/** Shows which ids this node should give to new rows, and sets where AUTOINCREMENT goes on. */
export async function ids(command: IdsCommand, { stdout, signal }: Io): Promise<void> {
  const { config } = await loadChoice(command.choice);
  const range = chooseRange(command.range, config.nodeId);
  using reader = Database.open(config.dbPath, { readOnly: true });
  const read = (): Promise<RangedTable[]> =>
    reader.read(() => readRangedTables(reader, config.tables, range), signal);
  if (command.action === "list") {
    const tables = await read();
    stdout.write(
      command.json
        ? `${JSON.stringify(toJson(config.nodeId, range, tables), null, 2)}\n`
        : render(config.nodeId, range, tables),
    );
    return;
  }
  using writer = Database.open(config.dbPath);
  const next = await writer.write(async () => {
    const table = (await read()).find(({ name }) => name.toLowerCase() === command.table.toLowerCase());
    if (table === undefined) throw unknownTable(command.table);
    return startRange(writer, table, range);
  }, signal);
  stdout.write(
    `The next row of ${printable(command.table)} gets the id ${next}.\n${config.replicate ? CAUTION : ""}`,
  );
}

const CAUTION =
  "This holds until a row with a higher id comes from another node: SQLite goes on above the highest id in the table.\n" +
  "Where others have higher ranges, let the application name its ids: `harmonylite ids` shows how.\n";

function chooseRange({ first, last }: RangeChoice, node: bigint): IdRange {
  const own = rangeOf(node);
  if (first === undefined && last === undefined && own !== undefined) return own;
  if (first === undefined || last === undefined) {
    throw new UsageError(
      own === undefined
        ? `Cannot choose a range: node_id ${node} is too large for one of its own`
        : "Cannot choose a range: --first and --last go together",
      "Give --first N and --last N, a range that no other node has; or set a small node_id.",
    );
  }
  if (first <= last) return { first, last };
  throw new UsageError(`Cannot use the range ${first} to ${last}: it is empty`);
}

function unknownTable(name: string): HarmonyLiteError {
  return new HarmonyLiteError(
    "NO_SUCH_TABLE",
    `Cannot find "${name}" among the tables whose ids SQLite counts up`,
    {
      hint: "`harmonylite ids` lists them.",
    },
  );
}

function render(node: bigint, range: IdRange, tables: readonly RangedTable[]): string {
  if (tables.length === 0) return "No replicated table has ids that SQLite counts up.\n";
  const lines = tables.map((table) => {
    const { name, column, autoincrement, highest, writers, highestInRange, nextId } = table;
    const facts = [
      autoincrement ? "AUTOINCREMENT" : "INTEGER PRIMARY KEY",
      `highest ${highest}`,
      `highest of the range ${highestInRange ?? "none yet"}`,
      `newest written by ${writers.length === 0 ? "no node yet" : `nodes ${writers.join(", ")}`}`,
    ];
    return `${printable(name)}.${printable(column)}  ${facts.join("  ")}\n  ${nextId}\n`;
  });
  return [
    `Node ${node} takes the ids ${range.first} to ${range.last}.\n\n`,
    ...lines,
    "\nSQLite counts up from the highest id in the table, whoever wrote it. So let the application name the id of a new row: the\n",
    "expression below each table is the next one of this range. Where rows of higher ranges never come (replicate = false, or\n",
    "the node with the highest range), `harmonylite ids set TABLE` lets AUTOINCREMENT go on in the range instead.\n",
  ].join("");
}

/** Ids as texts: they may exceed what a number in JSON holds. */
function toJson(node: bigint, { first, last }: IdRange, tables: readonly RangedTable[]): unknown {
  return {
    node: String(node),
    first: String(first),
    last: String(last),
    tables: tables.map((
      { name, column, autoincrement, highest, sequence, writers, highestInRange, nextId },
    ) => ({
      table: name,
      column,
      autoincrement,
      highest: String(highest),
      sequence: sequence === undefined ? null : String(sequence),
      writers: writers.map(String),
      highest_in_range: highestInRange === undefined ? null : String(highestInRange),
      next_id_sql: nextId,
    })),
  };
}
