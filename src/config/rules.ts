import type { Config } from "./config.ts";

/** Something that must hold between settings. */
interface Rule {
  /** The setting that the user should change; the error stands at its line. */
  readonly key: string;
  /** Settings that it depends on; the rule is passed over when one of them could not be read. */
  readonly with: readonly string[];
  readonly broken: (config: Config) => boolean;
  readonly text: string;
}

const RULES: readonly Rule[] = [
  {
    key: "db_path",
    with: [],
    broken: ({ dbPath }) => dbPath === "",
    text: "is required and empty",
  },
  {
    key: "seq_map_path",
    with: ["db_path"],
    broken: ({ seqMapPath, dbPath }) => seqMapPath === dbPath,
    text: "must not be the database itself",
  },
  {
    key: "logging.file",
    with: ["db_path", "seq_map_path"],
    broken: ({ logging, dbPath, seqMapPath }) => [dbPath, seqMapPath].includes(logging.file),
    text: "must be a file of its own",
  },
  {
    key: "nats.key_file",
    with: ["nats.cert_file"],
    broken: ({ nats }) => nats.certFile !== "" && nats.keyFile === "",
    text: "is required with nats.cert_file",
  },
  {
    key: "nats.cert_file",
    with: ["nats.key_file"],
    broken: ({ nats }) => nats.certFile === "" && nats.keyFile !== "",
    text: "is required with nats.key_file",
  },
  {
    key: "nats.creds_file",
    with: ["nats.seed_file", "nats.user_name"],
    broken: ({ nats }) => nats.credsFile !== "" && (nats.seedFile !== "" || nats.userName !== ""),
    text: "cannot be used with nats.seed_file or nats.user_name: choose one way to log in",
  },
  {
    key: "nats.user_name",
    with: ["nats.user_password"],
    broken: ({ nats }) => nats.userName === "" && nats.userPassword !== "",
    text: "is required with nats.user_password",
  },
  {
    key: "nats.cluster_peers",
    with: ["nats.cluster_addr"],
    broken: ({ nats }) => nats.clusterPeers.length > 0 && nats.clusterAddr === "",
    text: "need nats.cluster_addr, where they can reach this node",
  },
  {
    key: "nats.cluster_addr",
    with: ["nats.cluster_peers"],
    broken: ({ nats }) => nats.clusterAddr !== "" && nats.clusterPeers.length === 0,
    text: "needs nats.cluster_peers: JetStream wants to know another server of its cluster",
  },
  {
    key: "nats.urls",
    with: ["nats.cluster_addr", "nats.leaf_servers"],
    broken: ({ nats }) => nats.urls.length > 0 && (nats.clusterAddr !== "" || nats.leafServers.length > 0),
    text: "must be empty with nats.cluster_addr and nats.leaf_servers: they are for a server of our own",
  },
  {
    key: "snapshot.s3.bucket",
    with: ["snapshot.enabled", "snapshot.store"],
    broken: ({ snapshot }) => keeps(snapshot, "s3") && snapshot.s3.bucket === "",
    text: 'is required with snapshot.store = "s3"',
  },
  {
    key: "snapshot.s3.endpoint",
    with: ["snapshot.enabled", "snapshot.store"],
    broken: ({ snapshot }) => keeps(snapshot, "s3") && snapshot.s3.endpoint === "",
    text: 'is required with snapshot.store = "s3"',
  },
  {
    key: "snapshot.s3.secret",
    with: ["snapshot.enabled", "snapshot.store", "snapshot.s3.access_key"],
    broken: ({ snapshot }) =>
      keeps(snapshot, "s3") && (snapshot.s3.accessKey === "") !== (snapshot.s3.secret === ""),
    text: "and snapshot.s3.access_key must both be set, or neither",
  },
  {
    key: "snapshot.webdav.url",
    with: ["snapshot.enabled", "snapshot.store"],
    broken: ({ snapshot }) => keeps(snapshot, "webdav") && !isUrl(snapshot.webdav.url, ["http:", "https:"]),
    text: 'must be a URL that begins with https:// or http:// with snapshot.store = "webdav"',
  },
  {
    key: "snapshot.sftp.url",
    with: ["snapshot.enabled", "snapshot.store"],
    broken: ({ snapshot }) => keeps(snapshot, "sftp") && !isUrl(snapshot.sftp.url, ["sftp:"]),
    text: 'must be a URL that begins with sftp:// with snapshot.store = "sftp"',
  },
  {
    key: "snapshot.file.path",
    with: ["snapshot.enabled", "snapshot.store"],
    broken: ({ snapshot }) => keeps(snapshot, "file") && snapshot.file.path === "",
    text: 'is required with snapshot.store = "file"',
  },
];

/** The broken rules; those that need a setting of which `isKnown` says no are passed over. */
export function findBrokenRules(
  config: Config,
  isKnown: (key: string) => boolean,
): { key: string; text: string }[] {
  return RULES.filter((rule) => [rule.key, ...rule.with].every(isKnown) && rule.broken(config))
    .map(({ key, text }) => ({ key, text }));
}

function keeps({ enabled, store }: Config["snapshot"], wanted: Config["snapshot"]["store"]): boolean {
  return enabled && store === wanted;
}

function isUrl(text: string, protocols: readonly string[]): boolean {
  return protocols.includes(URL.parse(text)?.protocol ?? "");
}
