import { NATS_SETTINGS } from "./nats_settings.ts";
import {
  address,
  type AnySetting,
  boolean,
  choice,
  duration,
  identity,
  integer,
  list,
  path,
  section,
  type SectionMembers,
  text,
} from "./setting.ts";

/** JetStream refuses more. */
const MAX_REPLICAS = 5;

const METRIC_PART = { form: /^([a-zA-Z_][a-zA-Z0-9_]*)?$/, formText: "made of letters, digits and _" };

/**
 * Every setting, once. The type `Config`, the annotated file of `harmonylite init`, the table in the README, the
 * names of environment variables and all checks of single values are derived from this.
 */
export const SCHEMA = section("", {
  db_path: path({
    file: "must exist",
    help: "The SQLite database to replicate. A relative path starts at the working directory.",
    example: '"/var/lib/harmonylite/data.db"',
  }),
  node_id: identity({
    default: 0n,
    defaultText: "derived",
    help:
      "Number of this node, unique in the cluster, from 1 to 9223372036854775807. Left out or 0: derived from the machine id and the path of the database. Set it when machines or containers are copies of each other.",
    example: "1",
  }),
  seq_map_path: path({
    file: "is written",
    default: "",
    defaultText: "`seq-map.cbor` beside the database",
    help:
      "File that mirrors how far the streams were read. Remove it to make the node recover from a snapshot at the next start. Databases in one folder need one each.",
  }),
  publish: boolean({
    default: true,
    help:
      "Send this node's changes. With false it is a read-only replica; changes are kept until it is true again.",
  }),
  replicate: boolean({
    default: true,
    help: "Apply the changes of other nodes. With false the node only sends.",
  }),
  scan_max_changes: integer({
    default: 512,
    min: 1,
    max: 1_000_000,
    unit: "rows",
    help: "How many captured changes are read at a time.",
  }),
  cleanup_interval: duration({
    default: 5_000,
    min: 1,
    help: "How often changes that were sent are removed from the change logs.",
  }),
  sleep_timeout: duration({
    default: 0,
    help: "End the program, with exit code 0, after this long without a change. 0: never.",
  }),
  polling_interval: duration({
    default: 1_000,
    help:
      "How often the database is looked at for changes that the file system did not announce. 0: never, trust the file system.",
  }),

  replication_log: section("How changes travel in JetStream.", {
    shards: integer({
      default: 1,
      min: 1,
      max: 1_024,
      unit: "streams",
      help:
        "Number of streams that changes are divided over. More spread them over several NATS servers, and cost the node more work.",
    }),
    max_entries: integer({
      default: 1_024,
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      unit: "messages",
      help: "How many messages a stream keeps. A node that was away for longer needs a snapshot.",
    }),
    replicas: integer({
      default: 1,
      min: 1,
      max: MAX_REPLICAS,
      unit: "servers",
      help: "On how many NATS servers each stream is stored. At most the number of servers.",
    }),
    compress: boolean({ default: true, help: "Compress messages with zstd. May differ between nodes." }),
    update_existing: boolean({
      default: false,
      help:
        "Change a stream that exists when its settings differ. With false the difference is only reported.",
    }),
    max_batch: integer({
      default: 4_096,
      min: 1,
      max: 1_000_000,
      unit: "changes",
      help:
        "How many changes travel in one message at most. Set 1 in a cluster with nodes of the Go program.",
    }),
    max_transaction_rows: integer({
      default: 100_000,
      min: 1,
      max: 100_000_000,
      unit: "rows",
      help:
        "Up to this size other nodes see a transaction whole or not at all; a larger one is cut into pieces.",
    }),
    version_retention: integer({
      default: 2_592_000_000,
      min: 1_000,
      max: Number.MAX_SAFE_INTEGER,
      unit: "ms",
      help:
        "How long a deleted row is remembered, so that an older change cannot bring it back (30 days). One value in a cluster.",
    }),
  }),

  snapshot: section(
    "Copies of the database that new and long absent nodes start from.",
    {
      enabled: boolean({ default: true, help: "Take and restore snapshots." }),
      store: choice({
        of: ["nats", "s3", "webdav", "sftp", "file"],
        default: "nats",
        help: "Where snapshots are kept: nats, s3, webdav, sftp or file.",
      }),
      interval: duration({
        default: 0,
        help: "Take one this often. 0: only when a stream has moved on far enough.",
      }),
      leader_ttl: duration({
        default: 30_000,
        min: 1_000,
        help: "How long the node that takes the snapshots stays in charge without a sign of life.",
      }),
      keep: integer({
        default: 3,
        min: 1,
        max: 1_000,
        unit: "snapshots",
        help: "How many snapshots are kept.",
      }),
      nats: section('Object store of the same NATS servers, for store = "nats".', {
        replicas: integer({
          default: 0,
          defaultText: "as `replication_log.replicas`",
          min: 0,
          max: MAX_REPLICAS,
          unit: "servers",
          help: "On how many NATS servers snapshots are stored, once the object store is made.",
        }),
        bucket: text({
          default: "",
          defaultText: "`<stream_prefix>-snapshot-store`",
          form: /^[\w-]*$/,
          formText: "made of letters, digits, - and _",
          help: "Name of the object store.",
        }),
      }),
      s3: section('S3, MinIO and the like, for store = "s3".', {
        endpoint: text({
          default: "",
          help: "Host and port of the service, such as s3.eu-west-1.amazonaws.com.",
        }),
        bucket: text({ default: "", help: "Bucket that holds the snapshots." }),
        path: text({ default: "", help: "Folder in the bucket." }),
        region: text({ default: "", help: "Region of the bucket, where the service wants one." }),
        use_ssl: boolean({ default: false, help: "Use https. Always true for AWS." }),
        path_style: boolean({
          default: true,
          help: "Name the bucket in the path of the URL, not in the host. MinIO wants true.",
        }),
        access_key: text({ default: "", secret: true, help: "Access key id, or user of MinIO." }),
        secret: text({ default: "", secret: true, help: "Secret key, or password of MinIO." }),
        session_token: text({ default: "", secret: true, help: "Token of temporary credentials." }),
      }),
      webdav: section('For store = "webdav".', {
        url: text({
          default: "",
          secret: true,
          help:
            "https://host/path?dir=/folder&login=user&secret=password, with each part encoded as in any URL.",
        }),
      }),
      sftp: section('For store = "sftp".', {
        url: text({
          default: "",
          secret: true,
          help:
            "`sftp://user:password@host:port/folder`, with each part encoded as in any URL; `/~/folder` lies in the user's home.",
        }),
        key_file: path({
          default: "",
          file: "must exist",
          help: "Private key, instead of a password in the URL.",
        }),
        key_passphrase: text({ default: "", secret: true, help: "What the private key is encrypted with." }),
        known_hosts: path({
          default: "",
          file: "must exist",
          help:
            "File with the keys of known hosts, as ssh keeps it. A host whose key is neither there nor in host_key is refused.",
        }),
        host_key: text({
          default: "",
          form: /^(SHA256:[A-Za-z0-9+/]{43}=?)?$/,
          formText: "a fingerprint such as SHA256:…, as `ssh-keygen -lf` prints it",
          help:
            "Fingerprint of the host's key, instead of known_hosts; the message that refuses the host names it.",
        }),
      }),
      file: section('A folder, for store = "file".', {
        path: path({
          default: "",
          file: "folder",
          help: "Folder that all nodes reach, such as a network drive.",
        }),
      }),
    },
  ),

  nats: NATS_SETTINGS,

  tables: section("Which tables are replicated, by name; * and ? stand for letters.", {
    include: list({ default: [], help: "Only these. Empty: all.", judge: judgeGlob }),
    exclude: list({ default: [], help: "Not these, even when included.", judge: judgeGlob }),
  }),

  verify: section("Comparing rows with the other nodes, as `harmonylite verify` does.", {
    interval: duration({
      default: 0,
      help: "How often. 0: only when asked to.",
    }),
  }),

  logging: section("What the program tells, on standard error.", {
    verbose: boolean({ default: false, help: "Tell more." }),
    format: choice({
      of: ["console", "json"],
      default: "console",
      help: "console: lines for people. json: one object a line.",
    }),
    file: path({ default: "", file: "is written", help: "Write the log to this file too." }),
  }),

  prometheus: section("Metrics for Prometheus, at /metrics.", {
    enable: boolean({ default: false, help: "Serve metrics." }),
    bind: address({
      default: "127.0.0.1:3010",
      help: "Where to listen. `:3010` or `0.0.0.0:3010`: on all interfaces.",
    }),
    namespace: text({ ...METRIC_PART, default: "harmonylite", help: "First part of every metric's name." }),
    subsystem: text({ ...METRIC_PART, default: "", help: "Second part of every metric's name." }),
  }),

  health_check: section(
    "An HTTP endpoint that says whether the node is well, and a web page of the cluster at /.",
    {
      enable: boolean({ default: false, help: "Serve it." }),
      bind: address({
        default: "127.0.0.1:8090",
        help: "Where to listen. `:8090` or `0.0.0.0:8090`: on all interfaces. May be that of the metrics.",
      }),
      path: text({
        default: "/health",
        form: /^\/(?!metrics$)[\w./-]+$/,
        formText: "a path such as /health, and not /metrics",
        help: "Its path.",
      }),
      detailed: boolean({
        default: true,
        help: "Answer with details, not with the status alone; serve the web page.",
      }),
    },
  ),
});

/** A setting and where it stands. */
export interface SchemaEntry {
  /** Dotted, as in errors: `replication_log.shards`. */
  readonly key: string;
  /** Dotted path of its section; empty at the top level. */
  readonly section: string;
  /** The last part of the key. */
  readonly name: string;
  readonly setting: AnySetting;
  /** `HARMONYLITE_REPLICATION_LOG_SHARDS`. */
  readonly variable: string;
}

/** All settings, in the order of the schema. */
export const ENTRIES: readonly SchemaEntry[] = Object.freeze(listEntries(SCHEMA.members, ""));

/** Dotted paths of all sections with their help, in the order of the schema. */
export const SECTIONS: ReadonlyMap<string, string> = new Map(listSections(SCHEMA.members, ""));

function listEntries(members: SectionMembers, section: string): SchemaEntry[] {
  return Object.entries(members).flatMap(([name, member]) => {
    const key = section === "" ? name : `${section}.${name}`;
    if (member.kind === "section") return listEntries(member.members, key);
    const variable = `HARMONYLITE_${key.replaceAll(".", "_").toUpperCase()}`;
    return [{ key, section, name, setting: member, variable }];
  });
}

function listSections(members: SectionMembers, parent: string): [string, string][] {
  return Object.entries(members).flatMap(([name, member]) => {
    if (member.kind === "setting") return [];
    const key = parent === "" ? name : `${parent}.${name}`;
    return [[key, member.help], ...listSections(member.members, key)];
  });
}

function judgeGlob(glob: string): string | undefined {
  return glob === "" ? "it is empty" : undefined;
}
