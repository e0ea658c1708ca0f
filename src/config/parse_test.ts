import assert from "node:assert/strict";
import fc from "fast-check";
import { ConfigError } from "../lib/errors.ts";
import { type Config, secretsOf } from "./config.ts";
import { type MachineName, parseConfig, parseSources } from "./parse.ts";
import type { Sources } from "./sources.ts";

const SURROUNDINGS = {
  workingDirectory: "/work",
  machine: (): MachineName => ({ id: "m", source: "machine id" }),
};

function parse(sources: Sources): Config {
  return parseSources(sources, SURROUNDINGS).config;
}

/** The lines of the error, without the first and without indent. */
function problemsOf(text: string): string[] {
  try {
    parseConfig(text);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /^Invalid configuration, /);
    return error.message.split("\n").slice(1).map((line) => line.trim().replace(/^config\.toml:(?=\d)/, ""));
  }
  return [];
}

Deno.test("the defaults are those that are documented", () => {
  const config = parseConfig('db_path = "a.db"\nnode_id = 1', "/work");
  assert.equal(config.dbPath, "/work/a.db");
  assert.equal(config.nodeId, 1n);
  assert.equal(config.seqMapPath, "/work/seq-map.cbor");
  assert.equal(config.nodeIdDerivedFrom, undefined);
  assert.deepEqual([config.publish, config.replicate, config.scanMaxChanges], [true, true, 512]);
  assert.deepEqual([config.cleanupInterval, config.sleepTimeout, config.pollingInterval], [5000, 0, 1000]);
  assert.deepEqual({ ...config.replicationLog }, {
    shards: 1,
    maxEntries: 1024,
    replicas: 1,
    compress: true,
    updateExisting: false,
    maxBatch: 4096,
    maxTransactionRows: 100_000,
    versionRetention: 30 * 24 * 3_600_000,
  });
  assert.deepEqual([config.snapshot.store, config.snapshot.leaderTtl, config.snapshot.keep], [
    "nats",
    30_000,
    3,
  ]);
  assert.deepEqual([config.nats.urls, config.nats.connectRetries, config.nats.reconnectWaitSeconds], [
    [],
    5,
    2,
  ]);
  assert.equal(config.prometheus.bind, "127.0.0.1:3010");
  assert.equal(config.prometheus.subsystem, "");
  assert.equal(config.healthCheck.bind, "127.0.0.1:8090");
});

Deno.test("snapshots in NATS are on as many servers as the streams, unless something else is said", () => {
  const replicas = (text: string): number => parseConfig(`db_path = "a.db"\n${text}`).snapshot.nats.replicas;
  assert.equal(replicas(""), 1);
  assert.equal(replicas("[replication_log]\nreplicas = 3"), 3);
  assert.equal(replicas("[replication_log]\nreplicas = 3\n[snapshot.nats]\nreplicas = 1"), 1);
});

Deno.test("a file with every key of the Go program loads", () => {
  const config = parseConfig(`
db_path="/tmp/harmonylite.db"
node_id=18
seq_map_path="/tmp/seq-map.cbor"
replicate=true
publish=true
scan_max_changes=512
cleanup_interval=5000
sleep_timeout=15000
polling_interval=0
[snapshot]
enabled=true
store="nats"
interval=0
[snapshot.nats]
replicas=2
bucket="custom-bucket-name"
[snapshot.s3]
endpoint="127.0.0.1:9000"
path="snapshots/harmonylite"
use_ssl=false
access_key="a"
secret="b"
session_token=""
bucket="harmonylite"
[snapshot.webdav]
url="https://<webdav_server>/<web_dav_path>?dir=/x&login=<username>&secret=<password>"
[snapshot.sftp]
url="sftp://<user>:<password>@<sftp_server>:<port>/x"
[replication_log]
replicas=1
shards=4
max_entries=1024
compress=true
update_existing=true
[nats]
urls=[
#   "nats://localhost:4222"
]
bind_address=":-1"
server_config=""
subject_prefix="harmonylite-change-log"
stream_prefix="harmonylite-changes"
seed_file=""
user_name=""
user_password=""
ca_file=""
cert_file=""
key_file=""
connect_retries=5
reconnect_wait_seconds=2
[prometheus]
enable=true
bind=":3010"
namespace="harmonylite"
subsystem="replication"
[logging]
verbose=true
format="console"
[health_check]
enable=false
bind="0.0.0.0:8090"
path="/health"
detailed=true
`);
  assert.equal(config.nodeId, 18n);
  assert.equal(config.replicationLog.shards, 4);
  assert.equal(config.nats.bindAddress, ":-1");
});

Deno.test("option beats environment, environment beats file, file beats default", () => {
  const file = { name: "c", text: 'db_path = "f"\nnode_id = 1\nscan_max_changes = 2\npolling_interval = 3' };
  const environment = { HARMONYLITE_NODE_ID: "10", HARMONYLITE_SCAN_MAX_CHANGES: "20" };
  const config = parse({
    file,
    environment,
    overrides: [{ option: "--node-id", key: "node_id", text: "100" }],
  });
  assert.deepEqual(
    [config.nodeId, config.scanMaxChanges, config.pollingInterval, config.cleanupInterval],
    [100n, 20, 3, 5000],
  );
});

Deno.test("every kind of setting can come from the environment; an empty variable counts as not set", () => {
  const config = parse({
    environment: {
      HARMONYLITE_DB_PATH: "e.db",
      HARMONYLITE_NODE_ID: "9223372036854775807",
      HARMONYLITE_PUBLISH: "0",
      HARMONYLITE_REPLICATION_LOG_SHARDS: "7",
      HARMONYLITE_NATS_URLS: "nats://a:1, nats://b:2",
      HARMONYLITE_SNAPSHOT_S3_PATH_STYLE: "TRUE",
      HARMONYLITE_LOGGING_FORMAT: "json",
      HARMONYLITE_CLEANUP_INTERVAL: "",
      HARMONYLITE_SERVICE_HOST: "10.0.0.1",
    },
  });
  assert.equal(config.dbPath, "/work/e.db");
  assert.equal(config.nodeId, 2n ** 63n - 1n);
  assert.equal(config.publish, false);
  assert.equal(config.replicationLog.shards, 7);
  assert.deepEqual(config.nats.urls, ["nats://a:1", "nats://b:2"]);
  assert.equal(config.logging.format, "json");
  assert.equal(config.cleanupInterval, 5000);
});

Deno.test("an error in the environment or on the command line names the variable or the option", () => {
  const overrides = [{ option: "--node-id", key: "node_id", text: "many" }];
  assert.throws(
    () =>
      parse({
        environment: { HARMONYLITE_REPLICATION_LOG_SHARDS: "x", HARMONYLITE_DB_PATH: "d" },
        overrides,
      }),
    {
      message:
        /--node-id: node_id must be a whole number.*"many"\n +HARMONYLITE_REPLICATION_LOG_SHARDS: replication_log.shards must be .*"x"/,
    },
  );
});

Deno.test("all problems are told at once, in the order of the file, with line, key and reason", () => {
  assert.deepEqual(
    problemsOf(`publish = "yes"
[replication_log]
shards = 0
compress = 1
[logging]
format = "xml"
[nats]
urls = "nats://x"
bind_address = "4222"
`),
    [
      "config.toml: db_path is required and not set",
      '1: publish must be true or false, but is "yes"',
      "3: replication_log.shards must be a whole number from 1 to 1024, but is 0",
      "4: replication_log.compress must be true or false, but is 1",
      '6: logging.format must be one of "console", "json", but is "xml"',
      '8: nats.urls must be a list of texts, ["…", "…"]',
      '9: nats.bind_address must be "host:port" or ":port", but is "4222"',
    ],
  );
});

Deno.test("a file that is no TOML is told as that, not as one that lacks what stands in it", () => {
  assert.deepEqual(problemsOf('db_path = "a.db"\nnode_id =\n'), [
    "2: is not valid TOML: invalid value (column 10)",
  ]);
});

Deno.test("an unknown key is told with the nearest right one, or with where it belongs", () => {
  const unknown = (text: string): string | undefined => problemsOf(`db_path = "d"\n${text}`)[0];
  assert.equal(unknown("node-id = 1"), '2: node-id is not a known key; did you mean "node_id"?');
  assert.equal(
    unknown("[snapshot]\nenable = true"),
    '3: snapshot.enable is not a known key; did you mean "enabled"?',
  );
  assert.equal(
    unknown("[replication_log]\ncleanup_interval = 30000"),
    "3: replication_log.cleanup_interval is not a known key here; it belongs at the top level, above the first [table]",
  );
  assert.equal(
    unknown("shards = 4"),
    "2: shards is not a known key here; it belongs under [replication_log]",
  );
  assert.equal(
    unknown("[replication]\nshards = 4"),
    '2: replication is not a known table; did you mean "replication_log"?',
  );
  assert.equal(unknown("[s3]\nbucket = 'b'"), "2: s3 is not a known table here; did you mean [snapshot.s3]?");
  assert.equal(unknown("nats = 3"), "2: nats must be a table: [nats]");
  assert.equal(unknown("[shards]"), "2: shards is not a known table");
  assert.equal(unknown("conflict_resolution = 'mine'"), "2: conflict_resolution is not a known key");
});

Deno.test("numbers out of range, of another type, or too large for a timer are refused", () => {
  const refused = (text: string): boolean => problemsOf(`db_path = "d"\n${text}`).length === 1;
  for (const id of ["-1", "9223372036854775808", "1.0", '"1"']) assert.ok(refused(`node_id = ${id}`), id);
  for (const interval of ["-1", "2147483648", "5000.5", '"5s"', "2026-01-01"]) {
    assert.ok(refused(`polling_interval = ${interval}`), interval);
  }
  assert.ok(!refused("polling_interval = 2147483647"));
});

Deno.test("names that NATS or Prometheus would refuse are refused here", () => {
  const refused = (text: string): boolean => problemsOf(`db_path = "d"\n${text}`).length === 1;
  assert.ok(refused('[nats]\nstream_prefix = "a.b"'));
  assert.ok(refused('[nats]\nsubject_prefix = "a.*"'));
  assert.ok(!refused('[nats]\nsubject_prefix = "a.b"'));
  assert.ok(refused('[prometheus]\nnamespace = "1-x"'));
  for (const path of ["/", "/metrics", "health", "/a?b", ""]) {
    assert.ok(refused(`[health_check]\npath = "${path}"`), path);
  }
  assert.ok(!refused('[health_check]\npath = "/metrics/health"'));
  for (const url of ["http://x", "nats://", "ws://x"]) assert.ok(refused(`[nats]\nurls = ["${url}"]`), url);
  for (const url of ["nats://x", "tls://x:4222", "x:4222", "nats://u:p@[::1]:4222"]) {
    assert.ok(!refused(`[nats]\nurls = ["${url}"]`), url);
  }
});

Deno.test("servers of a cluster and of leaf nodes are named with their port", () => {
  const refused = (text: string): boolean => problemsOf(`db_path = "d"\n[nats]\n${text}`).length === 1;
  for (const url of ["nats://a", "http://a:1", "a", "nats://:1", "nats://a:1 b", "nats://a:x"]) {
    assert.ok(refused(`leaf_servers = ["${url}"]`), url);
  }
  for (
    const url of ["nats://a:1", "a:1", "dns://a.b:1/?min=2", "tls://u:p@[::1]:1/", "nats://a:1?hub=true"]
  ) {
    assert.ok(!refused(`leaf_servers = ["${url}"]`), url);
  }
  assert.ok(refused('cluster_addr = ":-1"'));
  assert.ok(refused('cluster_addr = "4221"'));
});

Deno.test("addresses are host:port with a port that exists", () => {
  const refused = (address: string): boolean => {
    return problemsOf(`db_path = "d"\n[prometheus]\nbind = "${address}"`).length === 1;
  };
  for (const address of [":3010", "0.0.0.0:3010", "localhost:0", "[::1]:80"]) {
    assert.ok(!refused(address), address);
  }
  for (const address of ["", "3010", "host", ":65536", ":-1", "http://x:1", "::1:80"]) {
    assert.ok(refused(address), address);
  }
});

Deno.test("settings that only make sense together are checked together", () => {
  const one = (text: string, expected: RegExp): void => {
    const problems = problemsOf(`db_path = "d"\n${text}`);
    assert.equal(problems.length, 1, problems.join("\n"));
    assert.match(problems[0] ?? "", expected);
  };
  one('[nats]\ncert_file = "c"', /^3: nats.key_file is required|^2: nats.key_file is required/);
  one('[nats]\nkey_file = "c"', /nats.cert_file is required/);
  one('[nats]\ncreds_file = "c"\nseed_file = "s"', /^3: nats.creds_file cannot be used with/);
  one('[nats]\nuser_password = "p"', /nats.user_name is required/);
  one('[nats]\ncluster_addr = ":1"', /^3: nats.cluster_addr needs nats.cluster_peers/);
  one('[nats]\ncluster_peers = ["nats://b:1"]', /^3: nats.cluster_peers need nats.cluster_addr/);
  one('[nats]\nurls = ["nats://b:1"]\nleaf_servers = ["nats://b:2"]', /^3: nats.urls must be empty with/);
  one('[snapshot]\nstore = "s3"\n[snapshot.s3]\nbucket = "b"', /^4: snapshot.s3.endpoint is required/);
  one(
    '[snapshot]\nstore = "s3"\n[snapshot.s3]\nbucket = "b"\nendpoint = "e"\nsecret = "s"',
    /^7: snapshot.s3.secret and /,
  );
  one('[snapshot]\nstore = "webdav"', /snapshot.webdav.url must be a URL/);
  one(
    '[snapshot]\nstore = "sftp"\n[snapshot.sftp]\nurl = "https://x"',
    /snapshot.sftp.url must be a URL that begins with sftp/,
  );
  one('[snapshot]\nstore = "file"', /snapshot.file.path is required/);
  one('seq_map_path = "d"', /seq_map_path must not be the database/);
  assert.deepEqual(problemsOf('db_path = "d"\n[snapshot]\nenabled = false\nstore = "s3"'), []);
});

Deno.test("no secret is ever part of an error", () => {
  const secret = "hunter22";
  const text = `db_path = "d"
[nats]
urls = ["http://u:${secret}@host", 5]
user_password = ["${secret}"]
[snapshot]
store = "sftp"
[snapshot.s3]
secret = { a = "${secret}" }
[snapshot.sftp]
url = "https://u:${secret}@host"
`;
  const problems = problemsOf(text);
  assert.equal(problems.length, 4);
  assert.doesNotMatch(problems.join("\n"), /hunter22/);
});

Deno.test("secretsOf lists passwords and those inside URLs, decoded too", () => {
  const config = parseConfig(`db_path = "d"
[nats]
urls = ["nats://user:p%40ssw@host:4222", "tls://tokentoken@host"]
user_name = "user"
user_password = "secret1"
[snapshot.webdav]
url = "https://h/p?dir=/x&login=l&secret=sec%26ret2"
[snapshot.sftp]
url = "sftp://u:secret3@h/x"
[snapshot.s3]
secret = "abc"
`);
  assert.deepEqual(secretsOf(config).sort(), [
    "p%40ssw",
    "p@ssw",
    "sec%26ret2",
    "sec&ret2",
    "secret1",
    "secret3",
    "tokentoken",
  ]);
});

Deno.test("without node_id one is derived that differs between databases and stays the same", () => {
  const one = parse({ file: { name: "c", text: 'db_path = "a.db"' } });
  const again = parse({ file: { name: "c", text: 'db_path = "/work/a.db"\nnode_id = 0' } });
  const other = parse({ file: { name: "c", text: 'db_path = "b.db"' } });
  assert.equal(one.nodeId, again.nodeId);
  assert.notEqual(one.nodeId, other.nodeId);
  assert.ok(one.nodeId > 0n && one.nodeId < 2n ** 63n);
  assert.equal(one.nodeIdDerivedFrom, "the machine id and the path of the database");
});

Deno.test("the configuration is frozen, all the way down", () => {
  const config = parseConfig('db_path = "d"');
  assert.throws(() => Object.assign(config, { publish: false }), TypeError);
  assert.throws(() => Object.assign(config.snapshot.s3, { bucket: "x" }), TypeError);
  assert.throws(() => (config.nats.urls as string[]).push("x"), TypeError);
  assert.throws(() => (parseConfig('db_path = "d"').tables.include as string[]).push("x"), TypeError);
});

Deno.test("any text is either a configuration or one ConfigError", () => {
  const line = fc.oneof(
    fc.constantFrom(
      "[nats]",
      "[snapshot]",
      "[[tables]]",
      "db_path = 'x'",
      "nats = 1",
      "a.b.c = {}",
      "__proto__ = 1",
    ),
    fc.string(),
    fc.tuple(fc.constantFrom("node_id", "shards", "urls", "db_path", "enabled"), fc.jsonValue()).map(
      ([key, value]) => {
        return `${key} = ${JSON.stringify(value)}`;
      },
    ),
  );
  fc.assert(fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
    try {
      parseConfig(lines.join("\n"));
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error));
    }
  }));
});
