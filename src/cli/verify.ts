import { secretsOf } from "../config/config.ts";
import { countText } from "../lib/quantities.ts";
import { openLogger } from "../observe/logger.ts";
import { toSql } from "../sqlite/sql_value.ts";
import { decodeKey } from "../verify/key.ts";
import type { Difference, NodeResult, TableResult } from "../verify/comparison.ts";
import { type Verdict, verdictOf } from "../verify/verify.ts";
import type { ConfigChoice } from "./command.ts";
import { loadChoice, requirePaths } from "./check.ts";
import { EXIT, type Io } from "./io.ts";

/** Differences of one table that are shown to a person; `--json` has all. */
const MAX_SHOWN = 20;

const EXIT_OF: Readonly<Record<Verdict, number>> = {
  equal: EXIT.ok,
  different: EXIT.failure,
  incomplete: EXIT.incomplete,
};

/** Has the running node of this configuration compare its rows with those of all other running nodes. */
export async function verify(
  command: { readonly choice: ConfigChoice; readonly repair: boolean; readonly json: boolean },
  { signal, stdout }: Io,
): Promise<number> {
  const loaded = await loadChoice(command.choice);
  await requirePaths(loaded, { withDatabase: false });
  const { config } = loaded;
  await using logger = await openLogger({ ...config.logging, secrets: secretsOf(config) });
  const { askToVerify } = await import("../agent/verification.ts");
  const results = await askToVerify(config, { repair: command.repair, signal, logger });
  const verdict = verdictOf(results);
  stdout.write(command.json ? `${JSON.stringify(toJson(results, verdict))}\n` : render(results, verdict));
  return EXIT_OF[verdict];
}

const VERDICTS: Readonly<Record<Verdict, string>> = {
  equal: "All rows are equal.",
  different: "Rows differ. `harmonylite verify --repair` gives each row its higher version.",
  incomplete: "Not everything could be compared.",
};

function render(results: readonly NodeResult[], verdict: Verdict): string {
  if (results.length === 0) return "No other node answers: there is nobody to compare with.\n";
  const isRepaired = results.some(({ repaired }) => repaired !== undefined) && verdict === "different";
  const end = isRepaired
    ? "What differed was repaired. Run it again to see that it holds."
    : VERDICTS[verdict];
  return [...results.flatMap(renderNode), end, ""].join("\n");
}

function renderNode({ node, tables, repaired, failure }: NodeResult): string[] {
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  const lines = [`node ${node}: ${countText(tables.length, "table")}, ${countText(rows, "row")}`];
  for (const table of tables) lines.push(...renderTable(table));
  if (repaired !== undefined) lines.push(`  ${countText(repaired, "row")} written by the repair`);
  if (failure !== undefined) lines.push(`  stopped: ${failure}`);
  return lines;
}

function renderTable({ kind, differences, open, refused }: TableResult): string[] {
  const name = `  ${kind.table}${kind.nulls ? " (rows with NULL in their key)" : ""}`;
  const lines: string[] = [];
  if (refused !== undefined) lines.push(`${name}: not compared: ${refused}`);
  if (open > 0) lines.push(`${name}: ${countText(open, "row")} being written, not judged`);
  if (differences.length > 0) {
    lines.push(`${name}: ${countText(differences.length, "row differs", "rows differ")}`);
  }
  for (const difference of differences.slice(0, MAX_SHOWN)) {
    const { here, there, holds } = difference;
    const state = ({ hash }: Difference["here"]): string => hash === undefined ? "missing" : "present";
    lines.push(
      `    ${keyOf(kind.key, difference)}: ${state(here)} here, ${
        state(there)
      } there; the version ${holds} holds`,
    );
  }
  if (differences.length > MAX_SHOWN) lines.push(`    and ${differences.length - MAX_SHOWN} more`);
  return lines;
}

function keyOf(columns: readonly string[], { here }: Difference): string {
  const values = decodeKey(here.key);
  return columns.map((column, at) => `${column} = ${toSql(values[at]!)}`).join(", ");
}

function toJson(results: readonly NodeResult[], verdict: Verdict): unknown {
  const side = ({ hash, version }: Difference["here"]): unknown => ({
    present: hash !== undefined,
    ts: version?.ts.toString(),
    node: version?.node.toString(),
  });
  return {
    verdict,
    nodes: results.map(({ node, tables, repaired, failure }) => ({
      node: node.toString(),
      repaired,
      failure,
      tables: tables.map(({ kind, rows, open, refused, differences }) => ({
        table: kind.table,
        nullKeys: kind.nulls,
        rows,
        open,
        refused,
        differences: differences.map((difference) => ({
          key: keyOf(kind.key, difference),
          here: side(difference.here),
          there: side(difference.there),
          holds: difference.holds,
        })),
      })),
    })),
  };
}
