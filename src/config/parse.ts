import { dirname, join, resolve } from "node:path";
import { camelCase, type Config } from "./config.ts";
import { deriveNodeId } from "./node_id.ts";
import { invalidConfiguration, type Problem } from "./problem.ts";
import { findBrokenRules } from "./rules.ts";
import { ENTRIES } from "./schema.ts";
import { type Place, readSources, type Sources } from "./sources.ts";

/** What is known of the place where the program runs. */
export interface Surroundings {
  /** Absolute; relative paths start here. */
  readonly workingDirectory: string;
  /** Asked for only when the user set no node id. */
  readonly machine: () => MachineName;
}

/** Something that names this machine, and what it is. */
export interface MachineName {
  readonly id: string;
  /** `machine id` or `host name`. */
  readonly source: string;
}

export interface ParsedConfig {
  readonly config: Config;
  /** Where the user wrote a setting, or would have written it. */
  readonly locate: (key: string) => Place;
}

/** What could be read, and all that is wrong. A setting with a problem holds its default, else nothing. */
export interface InspectedSources extends ParsedConfig {
  readonly problems: readonly Problem[];
}

/** The settings of all sources together, whatever is wrong with them. Reads nothing but its arguments. */
export function inspectSources(sources: Sources, surroundings: Surroundings): InspectedSources {
  const { values, problems, locate } = readSources(sources);
  const config = build(values, surroundings);
  const broken = findBrokenRules(config, (key) => values.has(key));
  return {
    config,
    locate,
    problems: [...problems, ...broken.map((rule) => ({ ...locate(rule.key), ...rule }))],
  };
}

/** Likewise, but throws one ConfigError that holds every problem. */
export function parseSources(sources: Sources, surroundings: Surroundings): ParsedConfig {
  const { config, locate, problems } = inspectSources(sources, surroundings);
  if (problems.length > 0) throw invalidConfiguration(problems);
  return { config, locate };
}

/** The settings of a TOML text alone. Made for tests: without `node_id` the machine is called `machine`. */
export function parseConfig(text: string, workingDirectory = "/"): Config {
  const machine = (): MachineName => ({ id: "machine", source: "host name" });
  return parseSources({ file: { name: "config.toml", text } }, { workingDirectory, machine }).config;
}

/** Settings that could not be read hold their default, else nothing. */
function build(values: ReadonlyMap<string, unknown>, surroundings: Surroundings): Config {
  const complete = new Map(
    ENTRIES.map(({ key, setting }) => [key, values.get(key) ?? setting.default ?? ""]),
  );
  for (const { key, setting } of ENTRIES) {
    const path = complete.get(key);
    if (setting.file !== undefined && path !== "") {
      complete.set(key, resolve(surroundings.workingDirectory, String(path)));
    }
  }
  const dbPath = String(complete.get("db_path"));
  if (complete.get("seq_map_path") === "") {
    complete.set("seq_map_path", join(dirname(dbPath), "seq-map.cbor"));
  }
  // What the streams may lose with a server must not go with the same server's snapshots.
  if (complete.get("snapshot.nats.replicas") === 0) {
    complete.set("snapshot.nats.replicas", complete.get("replication_log.replicas"));
  }
  const nodeIdDerivedFrom = complete.get("node_id") === 0n ? surroundings.machine() : undefined;
  if (nodeIdDerivedFrom !== undefined) complete.set("node_id", deriveNodeId(nodeIdDerivedFrom.id, dbPath));
  return freeze({
    ...nest(complete),
    nodeIdDerivedFrom: nodeIdDerivedFrom && `the ${nodeIdDerivedFrom.source} and the path of the database`,
  }) as unknown as Config;
}

type Tree = { [name: string]: unknown };

/** `a_b.c_d` → `{aB: {cD}}`. */
function nest(values: ReadonlyMap<string, unknown>): Tree {
  const root: Tree = {};
  for (const [key, value] of values) {
    const names = key.split(".").map(camelCase);
    const last = names.pop() ?? "";
    let tree = root;
    for (const name of names) tree = (tree[name] ??= {}) as Tree;
    tree[last] = value;
  }
  return root;
}

function freeze(tree: Tree): Tree {
  for (const value of Object.values(tree)) {
    if (typeof value === "object" && value !== null) freeze(value as Tree);
  }
  return Object.freeze(tree);
}
