import { dirname } from "node:path";
import type { Mutation } from "./mutations.ts";
import { makeSimDir } from "./sim_dir.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** What the simulation consists of. */
const TREE = ["src", "tests/sim", "tests/support", "deno.json", "deno.lock"];

/** What became of the program without a rule. */
export interface MutationResult {
  /** The seed that went wrong; undefined when none did. */
  readonly seed: number | undefined;
  /** What went wrong, as the simulation says it. */
  readonly violation: string;
}

/**
 * The sources of a mutation without the rule, by path. Throws when a text to be replaced is not there exactly once: then
 * the program has changed, and the mutation must follow.
 */
export async function mutatedSources({ name, edits }: Mutation): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  for (const { file, find, replace } of edits) {
    const pieces = (sources.get(file) ?? await Deno.readTextFile(ROOT + file)).split(find);
    if (pieces.length !== 2) {
      throw new Error(
        `Cannot apply mutation "${name}": its text is ${pieces.length - 1} times in ${file}: ${find}`,
      );
    }
    sources.set(file, pieces.join(replace));
  }
  return sources;
}

/** Runs the seeds from 1 on against a copy of the program without the rule, until one goes wrong. */
export async function runMutation(mutation: Mutation): Promise<MutationResult> {
  await using folder = await makeSimDir();
  for (const path of TREE) await copy(ROOT + path, `${folder.path}/${path}`);
  for (const [file, source] of await mutatedSources(mutation)) {
    await Deno.writeTextFile(`${folder.path}/${file}`, source);
  }
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "tests/sim/sim.ts", "--seeds", `1-${mutation.within}`, "--first-only"],
    cwd: folder.path,
  }).output();
  if (code === 0) return { seed: undefined, violation: "nothing went wrong" };
  const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
  const seed = Number(/^seed (\d+)$/.exec(lines[0] ?? "")?.[1]);
  if (!seed) throw new Error(`Cannot run mutation "${mutation.name}": ${new TextDecoder().decode(stderr)}`);
  return { seed, violation: lines.findLast((line) => /^\w*(Error|Violation): /.test(line)) ?? lines.at(-1)! };
}

async function copy(from: string, to: string): Promise<void> {
  if ((await Deno.stat(from)).isFile) {
    await Deno.mkdir(dirname(to), { recursive: true });
    return await Deno.copyFile(from, to);
  }
  for await (const { name } of Deno.readDir(from)) await copy(`${from}/${name}`, `${to}/${name}`);
}
