/**
 * Writes the generated parts of the README: `deno task readme`. With `--check` it writes nothing, and the exit code is
 * 1 when they are out of date.
 */
import { renderConfigTable } from "../src/config/table.ts";
import { STATUS_METRICS, TIMED_METRICS } from "../src/observe/metric_table.ts";
import { runProgram } from "../tests/support/process.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const README = `${ROOT}README.md`;
/** By name: what is written by this program, and the file that it comes from. */
const GENERATED = {
  configuration: { source: "src/config/schema.ts", render: renderConfigTable },
  metrics: { source: "src/observe/metric_table.ts", render: renderMetricTable },
};

/** The README as it should be, formatted. Throws an Error when the marks are not there once, in order. */
export async function updateReadme(
  readme: string,
  generated: Readonly<Record<string, { source: string; render: () => string }>> = GENERATED,
): Promise<string> {
  const parts = Object.entries(generated);
  return await format(
    parts.reduce((text, [name, { source, render }]) => replace(text, name, source, render()), readme),
  );
}

/**
 * Replaces what is between two marks; they say to whoever edits the file that it is written by this program. The formatter
 * leaves it alone: it would fill each cell with blanks up to the longest one of its column, some 8 kB of them.
 */
function replace(readme: string, name: string, source: string, table: string): string {
  const mark = `<!-- ${name}: written by \`deno task readme\`, edit ${source} instead -->`;
  const endMark = `<!-- /${name} -->`;
  const begin = onlyIndexOf(readme, mark);
  const end = onlyIndexOf(readme, endMark);
  if (begin > end) throw new Error(`Cannot update the README: "${endMark}" stands before "${mark}"`);
  const kept = `<!-- deno-fmt-ignore-start -->\n\n${table}\n<!-- deno-fmt-ignore-end -->`;
  return `${readme.slice(0, begin + mark.length)}\n${kept}\n${readme.slice(end)}`;
}

function renderMetricTable(): string {
  const rows = [
    ...Object.entries(STATUS_METRICS).map(([name, { type, help, labels = [] }]) => [
      [name, ...labels.map((label) => `{${label}}`)].join(" "),
      type,
      help,
    ]),
    ...Object.entries(TIMED_METRICS).map(([name, { help }]) => [name, "histogram", help]),
  ];
  const lines = rows.map(([name, type, help]) => `| \`${name}\` | ${type} | ${help} |`);
  return ["| Metric | Type | What it is |", "| --- | --- | --- |", ...lines, ""].join("\n");
}

function onlyIndexOf(text: string, mark: string): number {
  const index = text.indexOf(mark);
  if (index === -1) throw new Error(`Cannot update the README: it does not hold "${mark}"`);
  if (text.indexOf(mark, index + 1) !== -1) {
    throw new Error(`Cannot update the README: it holds "${mark}" more than once`);
  }
  return index;
}

/** As the gate wants it: otherwise formatting the README would put it out of date. */
async function format(markdown: string): Promise<string> {
  return await runProgram(Deno.execPath(), ["fmt", "--ext=md", "-"], { input: markdown, cwd: ROOT });
}

if (import.meta.main) {
  const old = await Deno.readTextFile(README);
  const text = await updateReadme(old);
  const isCurrent = text === old;
  if (Deno.args.includes("--check")) {
    console.log(isCurrent ? "README.md is up to date" : "README.md is out of date: deno task readme");
    if (!isCurrent) Deno.exit(1);
  } else {
    await Deno.writeTextFile(README, text);
    console.log(isCurrent ? "README.md was up to date" : "README.md is written");
  }
}
