import { relative } from "node:path";
import type { Config } from "../config/config.ts";
import { localAddress, parseListenAddress } from "../config/listen_address.ts";
import { ConfigError } from "../lib/errors.ts";
import { replacePrivately } from "../lib/files.ts";
import { findNatsServer } from "../nats/server_binary.ts";
import { awaitEarlierServer } from "../nats/server_before.ts";
import { renderServerConfig, type ServerSettings } from "../nats/server_config.ts";
import { settingsIn } from "../nats/server_config_keys.ts";
import { resolveLeafs, resolvePeers } from "../nats/server_peers.ts";
import { NatsServerProcess } from "../nats/server_process.ts";
import type { Logger } from "../observe/logger.ts";
import { type NatsServerState, readNodeState, removeNodeState, writeNodeState } from "./node_state.ts";

/** A free port of loopback: 4222 may be a neighbour's. */
export const ANY_ADDRESS = "127.0.0.1:-1";
/** Stores of a server alone and of one in a cluster: neither can go on with the other's. */
const STORES = { alone: "alone", cluster: "cluster" } as const;

/** Whose server it is and where its files are. */
interface Place {
  readonly config: Config;
  /** `<database>-harmonylite.nats`: configuration and, unless the operator says otherwise, streams. */
  readonly folder: string;
  readonly own: ServerSettings["own"];
}

export function serverFolder(databasePath: string): string {
  return `${databasePath}-harmonylite.nats`;
}

/**
 * Starts the nats-server of a node whose `nats.urls` is empty. Only for who holds the process lock of the database.
 * Resolves when it is ready for clients; its streams may have to wait for other nodes yet.
 */
export async function startEmbeddedServer(
  config: Config,
  { signal, logger }: { readonly signal: AbortSignal; readonly logger: Logger },
): Promise<AsyncDisposable & { readonly url: string }> {
  const place = await preparePlace(config);
  const log = (line: string): void => logger.info(line);
  const binary = await findNatsServer({ atRunTime: true, unpackTo: place.folder, log, signal });
  const earlier = readNodeState(config.dbPath)?.natsServer;
  if (earlier !== undefined) await awaitEarlierServer(earlier, serverName(config), signal);
  const startedAt = new Date().toISOString();
  const tell = (natsServer: NatsServerState): void =>
    writeNodeState(config.dbPath, { node: String(config.nodeId), process: Deno.pid, startedAt, natsServer });
  const configPath = `${place.folder}/nats-server.conf`;
  const server = await NatsServerProcess.start({
    binary,
    configPath,
    inCluster: config.nats.clusterAddr !== "",
    configure: async (port) => {
      const planned = await settings(place, port);
      replacePrivately(configPath, renderServerConfig(planned));
      // Crash point: killed before anybody is connected to it, this node leaves a server. The next start finds it by this.
      tell({
        url: `nats://${localAddress(planned.listen)}`,
        monitor: undefined,
        process: undefined,
      });
    },
    onLine: (level, text) => logger[level === "info" ? "debug" : level]("nats-server says", { text }),
    onRunning: (running) => {
      const { url, monitor, process } = running;
      logger.info("The NATS server of this node is ready", { url, monitor, process });
      tell({ url, monitor, process });
    },
    onEnded: (reason, pauseMs) =>
      logger.error("The NATS server of this node has ended, it is started again", { reason, pauseMs }),
    signal,
  });
  return {
    url: server.url,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      removeNodeState(config.dbPath);
    },
  };
}

function serverName({ nodeId }: Config): string {
  return `harmonylite-node-${nodeId}`;
}

/** Everything that the server writes lies in a folder that nobody else can enter. */
async function preparePlace(config: Config): Promise<Place> {
  const folder = serverFolder(config.dbPath);
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  if (Deno.build.os !== "windows") await Deno.chmod(folder, 0o700);
  return { config, folder, own: readOwn(config.nats.serverConfig, folder) };
}

function readOwn(path: string, folder: string): ServerSettings["own"] {
  if (path === "") return undefined;
  return { path, relativePath: relative(folder, path), settings: readServerConfig(path).settings };
}

/** What the operator's own configuration of the server says, and the files that it consists of. */
export interface OwnServerConfig {
  readonly settings: ReadonlyMap<string, string>;
  readonly files: readonly string[];
}

export function readServerConfig(path: string): OwnServerConfig {
  const files: string[] = [];
  const settings = settingsIn(path, (file) => {
    files.push(file);
    return readText(file);
  });
  return { settings, files };
}

function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined; // nats-server says which file it cannot read.
  }
}

/** Hosts are looked up anew for each start. */
async function settings({ config, folder, own }: Place, port: number | undefined): Promise<ServerSettings> {
  const { bindAddress, monitorAddress, clusterAddr, clusterPeers, leafServers, ...nats } = config.nats;
  const listen = parseListenAddress(bindAddress === "" ? ANY_ADDRESS : bindAddress);
  return {
    name: serverName(config),
    listen: { host: listen.host, port: listen.port === -1 ? port ?? freePort(listen.host) : listen.port },
    monitor: monitorAddress === "" ? undefined : parseListenAddress(monitorAddress),
    storeDir: await chooseStore(folder, clusterAddr !== "" || (own?.settings.has("cluster") ?? false)),
    cluster: clusterAddr === ""
      ? undefined
      : { listen: parseListenAddress(clusterAddr), peers: await resolvePeers(clusterPeers) },
    leafs: await resolveLeafs(leafServers),
    user: nats.userName === "" ? undefined : { name: nats.userName, password: nats.userPassword },
    own,
  };
}

/** A port that is free now: when another program is faster, the start fails and the next attempt takes another one. */
function freePort(hostname: string): number {
  using listener = Deno.listen({ hostname, port: 0 });
  return listener.addr.port;
}

/** A member of a cluster that is started without it would go on with its streams alone, and they could not be joined again. */
async function chooseStore(folder: string, inCluster: boolean): Promise<string> {
  const clustered = `${folder}/${STORES.cluster}`;
  if (inCluster) return clustered;
  const wasInCluster = await Deno.stat(clustered).then(() => true, () => false);
  if (!wasInCluster) return `${folder}/${STORES.alone}`;
  throw new ConfigError("Cannot start nats-server alone: so far it was part of a cluster", {
    hint:
      `Give --cluster-addr and --cluster-peers, or set them under [nats]. To leave the cluster for good, remove "${clustered}".`,
  });
}
