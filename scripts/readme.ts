/**
 * Writes the generated parts of the README: `deno task readme`. With `--check` it writes nothing, and the exit code is
 * 1 when they are out of date.
 */
import { renderConfigTable } from "../src/config/table.ts";
import { runProgram } from "../tests/support/process.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const README = `${ROOT}README.md`;
/** What is between the two is written by this program; they say so to whoever edits the file. */
const BEGIN = "<!-- configuration: written by `deno task readme`, edit src/config/schema.ts instead -->";
const END = "<!-- /configuration -->";

/** The README as it should be, formatted. Throws an Error when the marks are not there once, in order. */
export async function updateReadme(readme: string, table: string = renderConfigTable()): Promise<string> {
  const begin = onlyIndexOf(readme, BEGIN);
  const end = onlyIndexOf(readme, END);
  if (begin > end) throw new Error(`Cannot update the README: "${END}" stands before "${BEGIN}"`);
  return await format(`${readme.slice(0, begin + BEGIN.length)}\n\n${table}\n${readme.slice(end)}`);
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
