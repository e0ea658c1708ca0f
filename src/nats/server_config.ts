import { formatAddress, type ListenAddress } from "../config/listen_address.ts";
import { ConfigError } from "../lib/errors.ts";

/** All embedded servers of a cluster call it so, as those of the Go program do. */
const CLUSTER_NAME = "e-harmonylite";
/** Where a leaf looks for the streams of its hub. */
const JETSTREAM_DOMAIN = "e-harmonylite";

/** Servers that ours dials as a leaf node. */
export interface LeafRemote {
  /** Of one cluster: one that answers is enough. */
  readonly urls: readonly string[];
  /** Ours has the streams. Otherwise that server has them. */
  readonly hub: boolean;
}

/** What an embedded nats-server is configured with. */
export interface ServerSettings {
  /** Unique in the cluster, and the same at each start: JetStream knows its members by it. */
  readonly name: string;
  readonly listen: ListenAddress;
  readonly monitor: ListenAddress | undefined;
  readonly storeDir: string;
  /** Undefined: a server alone. */
  readonly cluster: { readonly listen: ListenAddress; readonly peers: readonly string[] } | undefined;
  readonly leafs: readonly LeafRemote[];
  /** Who may connect; undefined: everybody who reaches it. Without a password the name is a token. */
  readonly user: { readonly name: string; readonly password: string } | undefined;
  /** The operator's own configuration file: what it sets goes over ours, but for a few things. */
  readonly own: {
    readonly path: string;
    /** From the folder of the rendered file: nats-server takes no other. */
    readonly relativePath: string;
    /** What {@link settingsIn} found in it. */
    readonly settings: Pick<ReadonlySet<string>, "has">;
  } | undefined;
}

/**
 * The text of a nats-server configuration. In it a later entry replaces an earlier one of the same name, but not one
 * that says the same by another name (`listen`, `port`): of those it takes either, or refuses both. So each of ours is
 * left out when the operator's file has its like. Throws ConfigError where the two cannot be brought together.
 */
export function renderServerConfig(settings: ServerSettings): string {
  const { own } = settings;
  const has = (...keys: string[]): boolean => keys.some((key) => own?.settings.has(key) ?? false);
  const lines = [
    "# Written by HarmonyLite at each start. Settings of your own: [nats] server_config.",
    ...has("listen", "host", "net") ? [] : [`host: ${quote(settings.listen.host)}`],
    ...has("listen", "port") ? [] : [`port: ${settings.listen.port}`],
    ...has("http", "http_port", "monitor_port") ? [] : renderMonitor(settings),
    ...renderJetStream(settings, has),
    ...renderCluster(settings, has),
    ...renderLeafs(settings, has),
    ...own === undefined ? renderUser(settings) : [renderInclude(own)],
    ...renderFixed(settings),
  ];
  return `${lines.join("\n")}\n`;
}

type Has = (...keys: string[]) => boolean;

/**
 * What nobody may set otherwise. The log comes to us, debug lines too: it is a pipe, and a server that writes to it after
 * we were killed is killed by that. The loss of our connection is such a line.
 */
function renderFixed({ name, leafs }: ServerSettings): string[] {
  return [
    `server_name: ${quote(name)}`,
    "debug: true",
    "trace: false",
    'log_file: ""',
    'logfile: ""',
    "syslog: false",
    'remote_syslog: ""',
    ...isLeaf(leafs) ? ["jetstream: false"] : [],
  ];
}

function renderMonitor({ monitor }: ServerSettings): string[] {
  return monitor === undefined ? [] : [`http: ${quote(formatAddress(monitor))}`];
}

function renderJetStream({ storeDir, leafs }: ServerSettings, has: Has): string[] {
  if (isLeaf(leafs)) return [];
  const hasStore = has("store_dir", "storedir", "jetstream.store_dir", "jetstream.storedir");
  return [
    ...has("jetstream") ? [] : [`jetstream { domain: ${quote(JETSTREAM_DOMAIN)} }`],
    ...hasStore ? [] : [`store_dir: ${quote(storeDir)}`],
  ];
}

function renderCluster({ cluster, own }: ServerSettings, has: Has): string[] {
  if (cluster === undefined) return [];
  if (has("cluster")) throw bothHave("cluster_addr", "cluster", own!.path);
  return [
    // Otherwise each attempt to reach a server that is away is a line, several a second.
    ...has("reconnect_error_reports") ? [] : ["reconnect_error_reports: 3600"],
    "cluster {",
    `  name: ${quote(CLUSTER_NAME)}`,
    `  listen: ${quote(formatAddress(cluster.listen))}`,
    // Clients of other nodes have their own server; what this one listens on may be a loopback.
    "  no_advertise: true",
    `  routes: [${cluster.peers.map(quote).join(", ")}]`,
    "}",
  ];
}

/**
 * A leaf keeps no streams: it asks for those of its hub, as if they were here. With streams of the same name on both sides
 * each would hold its own selection of the changes, and a change made while they are parted would be in one alone.
 */
function renderLeafs({ leafs, own }: ServerSettings, has: Has): string[] {
  if (leafs.length === 0) return [];
  if (has("leafnodes", "leaf")) throw bothHave("leaf_servers", "leafnodes", own!.path);
  const remotes = leafs.map(({ urls, hub }) => `{ urls: [${urls.map(quote).join(", ")}], hub: ${hub} }`);
  return [
    ...has("reconnect_error_reports") ? [] : ["reconnect_error_reports: 3600"],
    `leafnodes { remotes: [${remotes.join(", ")}] }`,
    ...isLeaf(leafs) && !has("default_js_domain")
      ? [`default_js_domain: { "$G": ${quote(JETSTREAM_DOMAIN)} }`]
      : [],
  ];
}

function renderUser({ user }: ServerSettings): string[] {
  if (user === undefined) return [];
  if (user.password === "") return [`authorization { token: ${quote(user.name)} }`];
  return [`authorization { user: ${quote(user.name)}, password: ${quote(user.password)} }`];
}

/** Nothing is escaped in the name of an included file. */
function renderInclude({ path, relativePath }: NonNullable<ServerSettings["own"]>): string {
  const mark = ["'", '"'].find((candidate) => !relativePath.includes(candidate));
  if (mark !== undefined && !/[\r\n]/.test(relativePath)) return `include ${mark}${relativePath}${mark}`;
  throw new ConfigError(`Cannot use nats.server_config "${path}": its path holds quotes or line breaks`, {
    hint: "Give the file, or the folder it is in, another name.",
  });
}

function isLeaf(leafs: readonly LeafRemote[]): boolean {
  return leafs.some(({ hub }) => !hub);
}

function bothHave(setting: string, block: string, path: string): ConfigError {
  return new ConfigError(`Cannot use nats.${setting}: "${path}" has a ${block} block of its own`, {
    hint: `Leave one of the two out: either nats.${setting}, or ${block} in nats.server_config.`,
  });
}

/** As nats-server reads it: it knows fewer escapes than JSON, and takes every other character as it is. */
function quote(text: string): string {
  const escaped = text.replaceAll(/["\\]/g, "\\$&").replaceAll(/\p{ASCII}/gu, (character) => {
    const code = character.charCodeAt(0);
    return code < 32 || code === 127 ? `\\x${code.toString(16).padStart(2, "0")}` : character;
  });
  return `"${escaped}"`;
}
