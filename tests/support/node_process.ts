import { V8_FLAG } from "../../scripts/compile/flags.ts";
import { startProcess, type TestProcess } from "./process.ts";

/** The folder of this checkout, with a slash at its end. */
export const ROOT = new URL("../../", import.meta.url).pathname;

/** Keys and values of one table of the configuration file. */
export type Settings = Readonly<Record<string, string | number | boolean | readonly string[]>>;

export interface NodeOptions {
  /** A folder for the node's configuration and its own files. */
  readonly dir: string;
  readonly nodeId: number | bigint;
  readonly dbPath: string;
  /** Without it the node runs a nats-server of its own. */
  readonly natsUrl?: string | readonly string[];
  /** Text to add to the configuration: tables other than `[logging]`, `[nats]`, `[snapshot]` and those in `settings`. */
  readonly extraToml?: string;
  /** Settings that stand in no table, such as `{ publish: false }`. */
  readonly top?: Settings;
  /** Settings by table, `{ replication_log: { shards: 4 } }`; they go over the defaults that are written here. */
  readonly settings?: Readonly<Record<string, Settings>>;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The program and what stands before the words of its command line; default: `deno run -A main.ts`. */
  readonly program?: readonly string[];
}

/** How the program is started from this checkout, with the memory of the executable. */
export const CHECKOUT_PROGRAM: readonly string[] = [
  Deno.execPath(),
  "run",
  "-A",
  "--frozen",
  V8_FLAG,
  `${ROOT}main.ts`,
];

/** The real program, started by its command line: `deno run -A main.ts run --config …`. */
export function startNode(options: NodeOptions): TestProcess {
  return startNodeCommand(options, ["run"]);
}

/** Any command of the program, such as `["status", "--json"]`, with the node's configuration. */
export function startNodeCommand(options: NodeOptions, command: readonly string[]): TestProcess {
  const config = writeNodeConfig(options);
  const [program, ...before] = options.program ?? CHECKOUT_PROGRAM;
  return startProcess({
    name: `node ${options.nodeId} ${command.join(" ")}`,
    command: program!,
    args: [...before, ...command, "--config", config, ...options.args ?? []],
    cwd: options.dir,
    ...options.env === undefined ? {} : { env: options.env },
  });
}

/** Writes `node-<id>.toml` into the node's folder and returns its path. */
export function writeNodeConfig(options: NodeOptions): string {
  const urls = options.natsUrl === undefined ? [] : [options.natsUrl].flat();
  const tables: Record<string, Settings> = {
    nats: { urls },
    snapshot: { enabled: false },
    logging: { verbose: true },
  };
  for (const [name, settings] of Object.entries(options.settings ?? {})) {
    tables[name] = { ...tables[name], ...settings };
  }
  const path = `${options.dir}/node-${options.nodeId}.toml`;
  const head = [
    `node_id = ${options.nodeId}`,
    `db_path = ${JSON.stringify(options.dbPath)}`,
    `seq_map_path = ${JSON.stringify(`${options.dir}/node-${options.nodeId}-seq-map.cbor`)}`,
    ...lines(options.top ?? {}),
  ];
  const body = Object.entries(tables).flatMap(([name, settings]) => ["", `[${name}]`, ...lines(settings)]);
  Deno.writeTextFileSync(path, [...head, ...body, "", options.extraToml ?? "", ""].join("\n"));
  return path;
}

function lines(settings: Settings): string[] {
  return Object.entries(settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
}
