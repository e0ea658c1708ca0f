/** Checks who imports whom: `deno run -A scripts/layers.ts`. Exit code 1 when an import points the wrong way. */
import { relative } from "node:path";

const ROOT = new URL("../", import.meta.url).pathname;

/** Rooms from the ground up: a room imports from those below it, and from its own level only what {@link NEIGHBOURS} lists. */
const LEVELS: readonly (readonly string[])[] = [
  ["lib"],
  ["wire", "config"],
  ["sqlite", "stream", "nats", "observe"],
  ["capture", "publish", "apply", "schema"],
  ["verify", "snapshot"],
  ["doctor"],
  ["agent"],
  ["cli"],
  ["main"],
];

/** Imports between rooms of one level. */
const NEIGHBOURS: readonly { from: string; to: string; reason: string }[] = [
  { from: "capture", to: "schema", reason: "triggers are laid on the tables that schema describes" },
  { from: "publish", to: "schema", reason: "a message carries the hash of the table it was read from" },
  { from: "publish", to: "capture", reason: "what is sent is what was captured" },
  { from: "apply", to: "capture", reason: "own changes that have not come back are in the change log" },
  { from: "apply", to: "schema", reason: "only columns that the local schema has are written" },
  { from: "snapshot", to: "verify", reason: "a merge compares rows as verifying does" },
];

/**
 * Each package has one room that imports it, so that replacing it stays small. The exception: `nats` opens the
 * connection, `stream` speaks JetStream over it, and `snapshot` hands it on.
 */
const IMPORTERS: Readonly<Record<string, readonly string[]>> = {
  "@nats-io/transport-node": ["nats", "stream", "snapshot"],
  "@nats-io/jetstream": ["stream"],
  "@aws-sdk/client-s3": ["snapshot"],
  "@smithy/fetch-http-handler": ["snapshot"],
  "ssh2": ["snapshot"],
  "node:sqlite": ["sqlite"],
  "nanotar": ["doctor"],
  "node:zlib": ["wire"],
  "smol-toml": ["config"],
  "@logtape/logtape": ["observe"],
  "prom-client": ["observe"],
  "cbor-x": ["agent", "stream"],
  "fast-check": [],
  // The version of the program.
  "deno.json": ["lib"],
};

/** One import statement of one file; paths are relative to the root, packages by their bare name. */
export interface Import {
  readonly from: string;
  readonly to: string;
}

/** What is wrong with these imports, one line each. Tests may import whatever they like, and are not looked at. */
export function layerFindings(imports: readonly Import[]): string[] {
  return imports.filter(({ from }) => !isTest(from)).flatMap((edge) => {
    const reason = /^(src\/|main\.ts$|tests\/|scripts\/)/.test(edge.to)
      ? wrongDirection(edge)
      : wrongPackage(edge);
    return reason === undefined ? [] : [`${edge.from}: imports ${edge.to}: ${reason}`];
  });
}

function isTest(path: string): boolean {
  return path.endsWith("_test.ts");
}

function wrongDirection({ from, to }: Import): string | undefined {
  if (!to.startsWith("src/") && to !== "main.ts") return "the program does not import from tests or scripts";
  if (isTest(to)) return "the program does not import tests";
  const [fromRoom, toRoom] = [roomOf(from), roomOf(to)];
  if (fromRoom === toRoom) return undefined;
  const [fromLevel, toLevel] = [levelOf(fromRoom), levelOf(toRoom)];
  if (fromLevel === undefined) return `${fromRoom} is not in the list of rooms: give it a level`;
  if (toLevel === undefined) return `${toRoom} is not in the list of rooms: give it a level`;
  if (toLevel < fromLevel) return undefined;
  if (toLevel > fromLevel) {
    return `${toRoom} is above ${fromRoom}: let ${fromRoom} declare the interface that it needs`;
  }
  if (NEIGHBOURS.some((pair) => pair.from === fromRoom && pair.to === toRoom)) return undefined;
  return `${toRoom} is on the level of ${fromRoom}: hand it in from the agent, or add the pair with its reason`;
}

function wrongPackage({ from, to }: Import): string | undefined {
  const rooms = IMPORTERS[to];
  if (rooms === undefined) {
    return to.startsWith("node:")
      ? undefined
      : "the package is not in the list of importers: give it one room";
  }
  if (rooms.includes(roomOf(from))) return undefined;
  return rooms.length === 0 ? "it is for tests" : `only ${rooms.map((room) => `src/${room}`).join(", ")} may`;
}

/** `src/apply/fold.ts` is in `apply`, `main.ts` is `main`. */
function roomOf(path: string): string {
  return path.split("/")[path.startsWith("src/") ? 1 : 0]?.replace(/\.ts$/, "") ?? path;
}

function levelOf(room: string): number | undefined {
  const level = LEVELS.findIndex((rooms) => rooms.includes(room));
  return level === -1 ? undefined : level;
}

/** The parts of `deno info --json` that are read here. */
interface ModuleGraph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly error?: string;
    readonly dependencies?: readonly {
      readonly specifier: string;
      readonly code?: { readonly specifier?: string; readonly error?: string };
      readonly type?: { readonly specifier?: string; readonly error?: string };
    }[];
  }[];
}

/** All imports, types included, of the files below `src` and of `main.ts`. */
export async function readImports(root: string = ROOT): Promise<Import[]> {
  const files = [`${root}main.ts`, ...await sourcesUnder(`${root}src`)];
  const graph = await moduleGraph(root, files);
  const imports: Import[] = [];
  for (const module of graph.modules) {
    if (module.error !== undefined) throw new Error(`Cannot read ${module.specifier}: ${module.error}`);
    const from = pathOf(module.specifier, root);
    if (from === undefined || !/^(src\/|main\.ts$)/.test(from)) continue;
    for (const { specifier, code, type } of module.dependencies ?? []) {
      const target = pathOf(code?.specifier ?? type?.specifier ?? "", root);
      imports.push({ from, to: target ?? packageOf(specifier) });
    }
  }
  return imports;
}

/** `deno info` takes one file, so it is given one that imports all. */
async function moduleGraph(root: string, files: readonly string[]): Promise<ModuleGraph> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(entry, files.map((file) => `import "file://${file}";\n`).join(""));
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--config", `${root}deno.json`, entry],
      cwd: root,
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout)) as ModuleGraph;
  } finally {
    await Deno.remove(entry);
  }
}

async function sourcesUnder(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) files.push(...await sourcesUnder(path));
    else if (entry.name.endsWith(".ts") && !isTest(entry.name)) files.push(path);
  }
  return files.sort();
}

function pathOf(specifier: string, root: string): string | undefined {
  if (!specifier.startsWith("file://")) return undefined;
  return relative(root, decodeURIComponent(new URL(specifier).pathname)).replaceAll("\\", "/");
}

/** `@nats-io/jetstream/internal` belongs to `@nats-io/jetstream`, `node:fs/promises` to `node:fs`. */
function packageOf(specifier: string): string {
  return specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

if (import.meta.main) {
  const imports = await readImports();
  const findings = layerFindings(imports);
  findings.forEach((finding) => console.log(finding));
  console.log(
    findings.length === 0 ? `${imports.length} imports, all downwards` : `${findings.length} to mend`,
  );
  if (findings.length > 0) Deno.exit(1);
}
