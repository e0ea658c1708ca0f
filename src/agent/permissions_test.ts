import assert from "node:assert/strict";
import type { Config } from "../config/config.ts";
import { parseSources } from "../config/parse.ts";
import {
  missingPermissions,
  type PermissionContext,
  type Permissions,
  permissionsOf,
} from "./permissions.ts";

const SERVER = "/opt/nats-server";

function configOf(text: string): Config {
  return parseSources(
    { file: { name: "config.toml", text: `node_id = 1\ndb_path = "/data/app.db"\n${text}` } },
    { workingDirectory: "/", machine: () => ({ id: "m", source: "host name" }) },
  ).config;
}

function permissions(text: string, context: Partial<PermissionContext> = {}): Permissions {
  return permissionsOf(configOf(text), { natsServer: SERVER, ...context });
}

const URLS = `[nats]\nurls = ["nats://u:p@one:4333", "tls://two", "[::1]"]\n`;

Deno.test("with NATS servers elsewhere it is their hosts and the folder of the database, and no program", () => {
  assert.deepEqual(permissions(URLS), {
    read: ["/data"],
    write: ["/data"],
    net: ["one:4333", "two:4222", "[::1]:4222"],
    env: ["HARMONYLITE_*"],
    sys: ["hostname", "uid", "gid"],
    run: [],
  });
});

Deno.test("a server of the node's own may be started, and reached where it listens", () => {
  const net = (nats: string, context?: Partial<PermissionContext>): readonly string[] =>
    permissions(`[nats]\n${nats}`, context).net;
  const fixed = permissions('[nats]\nbind_address = "0.0.0.0:4222"\nmonitor_address = ":8222"');
  assert.deepEqual([fixed.run, fixed.env], [[SERVER], ["HARMONYLITE_*", "NATS_SERVER"]]);
  assert.deepEqual(fixed.net, ["127.0.0.1:4222", "127.0.0.1:8222"]);
  assert.deepEqual(net(""), ["127.0.0.1", "127.0.0.1:0"]);
  assert.deepEqual(net('bind_address = "0.0.0.0:-1"'), ["127.0.0.1", "0.0.0.0:0"]);
  const peers =
    'bind_address = "10.0.0.1:4222"\ncluster_addr = ":4221"\ncluster_peers = ["nats://a:1", "dns://u:p@peers:2"]\nleaf_servers = ["dns://hub:7422/?hub=true"]';
  assert.deepEqual(net(peers), ["10.0.0.1:4222", "peers", "hub"]);
});

Deno.test("what the operator's own file says about where the server listens goes over ours, and its files are read", () => {
  const own = (settings: Record<string, string>): Permissions =>
    permissions('[nats]\nserver_config = "/etc/nats/a.conf"\nbind_address = "10.0.0.1:4222"', {
      ownServer: {
        settings: new Map(Object.entries(settings)),
        files: ["/etc/nats/a.conf", "/etc/nats/b.conf"],
      },
    });
  assert.deepEqual(own({}).net, ["10.0.0.1:4222"]);
  assert.deepEqual(own({}).read, ["/data", "/etc/nats/a.conf", "/etc/nats/b.conf"]);
  assert.deepEqual(own({ port: "4333" }).net, ["10.0.0.1:4333"]);
  assert.deepEqual(own({ net: "::" }).net, ["[::1]:4222"]);
  assert.deepEqual(own({ listen: "0.0.0.0:4333" }).net, ["127.0.0.1:4333"]);
  assert.deepEqual(own({ listen: "4333" }).net, ["127.0.0.1:4333"]);
  assert.deepEqual(own({ host: "10.0.0.2", port: "$PORT" }).net, ["10.0.0.2", "10.0.0.2:0"]);
});

Deno.test("files that are read are read alone; what is written has its folder, but the log has its own names", () => {
  const { read, write } = permissions(
    `seq_map_path = "/var/maps/a.cbor"\n${URLS}ca_file = "/etc/tls/ca.pem"\ncreds_file = "/etc/n.creds"\n[logging]\nfile = "/var/log/h.log"`,
  );
  const written = [
    "/data",
    "/var/maps",
    "/var/log/h.log",
    "/var/log/h.log.1",
    "/var/log/h.log.2",
    "/var/log/h.log.3",
  ];
  assert.deepEqual(write, written);
  assert.deepEqual(read, [...written, "/etc/n.creds", "/etc/tls/ca.pem"]);
});

Deno.test("a node whose id is derived may read what it is derived from", () => {
  const { config } = parseSources(
    { file: { name: "config.toml", text: `db_path = "/data/app.db"\n${URLS}` } },
    { workingDirectory: "/", machine: () => ({ id: "m", source: "machine id" }) },
  );
  const { read } = permissionsOf(config, { natsServer: SERVER });
  assert.deepEqual(read, ["/data", "/etc/machine-id", "/var/lib/dbus/machine-id"]);
});

Deno.test("of the stores for snapshots the chosen one may be reached, with its files", () => {
  const store = (text: string, context?: Partial<PermissionContext>): Permissions =>
    permissions(`${URLS}[snapshot]\n${text}`, context);
  const nats = ["one:4333", "two:4222", "[::1]:4222"];
  const all = `
[snapshot.s3]
endpoint = "minio:9000"
bucket = "b"
access_key = "k"
secret = "s"
[snapshot.webdav]
url = "https://dav.example.com/x?login=u&secret=s"
[snapshot.sftp]
url = "sftp://u:p@ssh.example.com/x"
known_hosts = "/etc/known"
[snapshot.file]
path = "/mnt/share"`;
  assert.deepEqual(store(`store = "nats"${all}`).net, nats);
  assert.deepEqual(store(`store = "s3"${all}`).net, [...nats, "minio:9000"]);
  assert.deepEqual(store(`store = "webdav"${all}`).net, [...nats, "dav.example.com:443"]);
  const sftp = store(`store = "sftp"${all}`);
  assert.deepEqual([sftp.net, sftp.read], [[...nats, "ssh.example.com:22"], ["/data", "/etc/known"]]);
  const file = store(`store = "file"${all}`);
  assert.deepEqual([file.net, file.write], [nats, ["/data", "/mnt/share"]]);
});

Deno.test("S3 without keys may look where AWS keeps them, and a bucket may be part of the host", () => {
  const s3 = permissions(
    `${URLS}[snapshot]\nstore = "s3"\n[snapshot.s3]\nendpoint = "s3.eu-west-1.amazonaws.com"\nbucket = "b"\npath_style = false`,
    { home: "/home/h" },
  );
  assert.deepEqual(s3.read, ["/data", "/home/h/.aws"]);
  assert.deepEqual(s3.env, ["HARMONYLITE_*", "AWS_*", "HOME"]);
  assert.deepEqual(s3.sys, ["hostname", "uid", "gid", "homedir", "osRelease"]);
  assert.ok(s3.net.includes("b.s3.eu-west-1.amazonaws.com:443"));
  assert.ok(s3.net.includes("169.254.169.254:80"));
});

Deno.test("metrics and health may be served where they are bound, if they are switched on", () => {
  const text = (enable: boolean): string =>
    `${URLS}[prometheus]\nenable = ${enable}\nbind = ":3010"\n[health_check]\nenable = ${enable}\nbind = "[::1]:8090"`;
  assert.deepEqual(permissions(text(true)).net.slice(3), ["0.0.0.0:3010", "[::1]:8090"]);
  assert.deepEqual(permissions(text(false)).net.length, 3);
});

Deno.test({
  name: "what a process may not do is named",
  permissions: { read: ["/data"], net: ["one:4333"] },
  fn: () => {
    assert.deepEqual(missingPermissions(permissions(URLS)), [
      'write "/data"',
      'net "two:4222"',
      'net "[::1]:4222"',
    ]);
  },
});
