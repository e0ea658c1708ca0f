/** Keeps the style that a program can keep: `deno run -A scripts/tidy.ts`. Exit code 1 when there is something to mend. */
import { readSource } from "./source_text.ts";
import { configFindings, FILE_RULES, type Finding, lockFindings, treeFindings } from "./tidy_rules.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const SKIPPED_FOLDERS = new Set([".git", "node_modules"]);

export async function tidy(root: string = ROOT): Promise<Finding[]> {
  const paths = await filesUnder(root);
  const ignored = await ignoredNames(root);
  const sources = paths.filter((path) => path.endsWith(".ts") && !ignored.includes(path.split("/")[0] ?? ""));
  const findings = [
    ...treeFindings(paths, ignored),
    ...lockFindings(await Deno.readTextFile(`${root}deno.lock`)),
    ...configFindings(await Deno.readTextFile(`${root}deno.json`)),
  ];
  for (const path of sources) {
    const source = readSource(path, await Deno.readTextFile(`${root}${path}`));
    findings.push(...FILE_RULES.flatMap((rule) => rule(source)));
  }
  return findings;
}

async function filesUnder(root: string, folder = ""): Promise<string[]> {
  const paths: string[] = [];
  for await (const entry of Deno.readDir(`${root}${folder}`)) {
    const path = `${folder}${entry.name}`;
    if (!entry.isDirectory) paths.push(path);
    else if (!SKIPPED_FOLDERS.has(entry.name)) paths.push(...await filesUnder(root, `${path}/`));
  }
  return paths.sort();
}

/** Plain names in .gitignore: what running the program leaves behind. */
async function ignoredNames(root: string): Promise<string[]> {
  const text = await Deno.readTextFile(`${root}.gitignore`);
  return text.split("\n").map((line) => line.trim().replaceAll(/^\/|\/$/g, "")).filter((name) => name !== "");
}

if (import.meta.main) {
  const findings = await tidy();
  for (const { path, line, message } of findings) {
    console.log(`${path}${line === undefined ? "" : `:${line}`}: ${message}`);
  }
  console.log(findings.length === 0 ? "tidy" : `${findings.length} to mend`);
  if (findings.length > 0) Deno.exit(1);
}
