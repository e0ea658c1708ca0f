import { dirname } from "node:path";
import { type Config, valueOf } from "../config/config.ts";
import {
  formatAddress,
  type ListenAddress,
  localAddress,
  parseListenAddress,
} from "../config/listen_address.ts";
import { MACHINE_ID_FILES } from "../config/load.ts";
import { ENTRIES, type SchemaEntry } from "../config/schema.ts";
import { parseServerUrl } from "../nats/server_url.ts";
import { splitServerUrl } from "../nats/server_peers.ts";
import { KEPT_LOG_FILES } from "../observe/log_file.ts";
import { endpointUrl } from "../snapshot/s3_address.ts";
import { parseSftpUrl } from "../snapshot/sftp_address.ts";
import { parseWebdavUrl } from "../snapshot/webdav_address.ts";
import { ANY_ADDRESS, type OwnServerConfig } from "./embedded_server.ts";

/** What a locked program may do. Nothing else: no libraries, no other program, no prompt. */
export interface Permissions {
  /** Files, and folders with all that is in them; absolute. */
  readonly read: readonly string[];
  readonly write: readonly string[];
  /** `host:port` to connect to or to listen on; `host` alone: all its ports, and its name may be looked up. */
  readonly net: readonly string[];
  /** Variables; a `*` at the end stands for any ending. */
  readonly env: readonly string[];
  readonly sys: readonly string[];
  /** Programs; absolute. */
  readonly run: readonly string[];
}

export interface PermissionContext {
  /** The program that a node runs whose `nats.urls` is empty. */
  readonly natsServer: string;
  /** What `nats.server_config` holds. */
  readonly ownServer?: OwnServerConfig | undefined;
  /** The user's home, where AWS keeps secrets. */
  readonly home?: string | undefined;
}

/** The port of a NATS server whose URL names none. */
const NATS_PORT = 4222;
/** Where machines of AWS, and its containers, are told their secrets. */
const AWS_METADATA_HOSTS = ["169.254.169.254:80", "169.254.170.2:80"];

/** What the library of AWS asks before it does anything. */
const AWS_SYSTEM_FACTS = ["homedir", "osRelease"];

/** What the commands of the program need for a configuration, beside reading the configuration itself. */
export function permissionsOf(config: Config, context: PermissionContext): Permissions {
  const files = filesInUse(config);
  const hasServer = config.nats.urls.length === 0;
  const findsAwsSecrets = config.snapshot.store === "s3" && config.snapshot.s3.accessKey === "";
  const aws = findsAwsSecrets && context.home !== undefined ? [`${context.home}/.aws`] : [];
  const written = [dirname(config.dbPath), ...files.flatMap(writtenPaths)];
  return {
    read: unique([
      ...written,
      ...files.filter(({ entry }) => entry.setting.file === "must exist").map(({ path }) => path),
      ...context.ownServer?.files ?? [],
      ...config.nodeIdDerivedFrom === undefined ? [] : MACHINE_ID_FILES,
      ...aws,
    ]),
    write: unique(written),
    net: unique([
      ...hasServer ? ownServerHosts(config, context.ownServer) : config.nats.urls.map(natsHost),
      ...storeHosts(config),
      ...findsAwsSecrets ? AWS_METADATA_HOSTS : [],
      ...boundAddresses(config),
    ]),
    env: ["HARMONYLITE_*", ...hasServer ? ["NATS_SERVER"] : [], ...findsAwsSecrets ? ["AWS_*", "HOME"] : []],
    // Who we are says whether a file is open to us.
    sys: ["hostname", "uid", "gid", ...config.snapshot.store === "s3" ? AWS_SYSTEM_FACTS : []],
    run: hasServer ? [context.natsServer] : [],
  };
}

interface FileInUse {
  readonly entry: SchemaEntry;
  readonly path: string;
}

/** The paths that the configuration names, but for the database, and for those that nothing asks for. */
function filesInUse(config: Config): FileInUse[] {
  const others = (section: string): boolean =>
    section.startsWith("snapshot.") && section !== `snapshot.${config.snapshot.store}`;
  return ENTRIES.filter(({ key, section, setting }) =>
    setting.file !== undefined && key !== "db_path" && !others(section) &&
    !(key === "nats.server_config" && config.nats.urls.length > 0)
  ).map((entry) => ({ entry, path: String(valueOf(config, entry)) })).filter(({ path }) => path !== "");
}

/** The folder of the log belongs to the system: only the log and its predecessors are ours. */
function writtenPaths({ entry, path }: FileInUse): string[] {
  if (entry.setting.file === "must exist") return [];
  if (entry.setting.file === "folder") return [path];
  if (entry.key !== "logging.file") return [dirname(path)];
  return [path, ...Array.from({ length: KEPT_LOG_FILES }, (_, index) => `${path}.${index + 1}`)];
}

function natsHost(url: string): string {
  const { address } = parseServerUrl(url);
  return /:\d+$/.test(address) ? address : `${address}:${NATS_PORT}`;
}

/** Where our own server may come to listen, and the hosts whose addresses are looked up for it. */
function ownServerHosts({ nats }: Config, own: OwnServerConfig | undefined): string[] {
  const { bindAddress, monitorAddress, clusterPeers, leafServers } = nats;
  const listen = chosenAddress(parseListenAddress(bindAddress === "" ? ANY_ADDRESS : bindAddress), own);
  const reached = localAddress(listen);
  return [
    // A free port is found by listening on any, and known only then.
    ...listen.port > 0
      ? [reached]
      : [reached.replace(/:-?\d+$/, ""), formatAddress({ host: listen.host, port: 0 })],
    ...monitorAddress === "" ? [] : [localAddress(parseListenAddress(monitorAddress))],
    ...[...clusterPeers, ...leafServers].map(splitServerUrl).flatMap(({ scheme, host }) =>
      scheme === "dns" ? [host] : []
    ),
  ];
}

/** The operator's own file goes over ours. A value of it that is no address, such as a variable: any port. */
function chosenAddress(ours: ListenAddress, own: OwnServerConfig | undefined): ListenAddress {
  const settings = own?.settings ?? new Map<string, string>();
  const listen = settings.get("listen");
  if (listen !== undefined) return parseListenAddress(/:-?\d+$/.test(listen) ? listen : `:${toPort(listen)}`);
  const host = settings.get("host") ?? settings.get("net") ?? ours.host;
  return { host, port: toPort(settings.get("port") ?? String(ours.port)) };
}

function toPort(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : -1;
}

function storeHosts({ snapshot: { store, s3, webdav, sftp } }: Config): string[] {
  if (store === "webdav" && webdav.url !== "") return [urlHost(parseWebdavUrl(webdav.url).folder)];
  if (store === "sftp" && sftp.url !== "") {
    return [formatAddress(parseSftpUrl(sftp.url))];
  }
  if (store !== "s3" || s3.endpoint === "") return [];
  const host = urlHost(new URL(endpointUrl(s3)));
  return s3.pathStyle ? [host] : [`${s3.bucket}.${host}`];
}

function urlHost({ hostname, port, protocol }: URL): string {
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}

function boundAddresses({ prometheus, healthCheck }: Config): string[] {
  return [prometheus, healthCheck].filter(({ enable }) => enable).map(({ bind }) => {
    return formatAddress(parseListenAddress(bind));
  });
}

/** What of it this process may not do: a program that was locked to another configuration. Each as `read "/x"`. */
export function missingPermissions({ read, write, net }: Permissions): string[] {
  const wanted: Deno.PermissionDescriptor[] = [
    ...read.map((path) => ({ name: "read" as const, path })),
    ...write.map((path) => ({ name: "write" as const, path })),
    ...net.map((host) => ({ name: "net" as const, host })),
  ];
  return wanted.filter((each) => Deno.permissions.querySync(each).state !== "granted").map((each) => {
    return `${each.name} "${each.name === "net" ? each.host : "path" in each ? each.path : ""}"`;
  });
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
