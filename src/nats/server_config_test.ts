import assert from "node:assert/strict";
import { ConfigError } from "../lib/errors.ts";
import { renderServerConfig, type ServerSettings } from "./server_config.ts";

const PLAIN: ServerSettings = {
  name: "harmonylite-node-7",
  listen: { host: "127.0.0.1", port: -1 },
  monitor: undefined,
  storeDir: "/var/lib/app.db-harmonylite.nats/alone",
  cluster: undefined,
  leafs: [],
  user: undefined,
  own: undefined,
};

function own(...settings: string[]): ServerSettings["own"] {
  return { path: "/etc/nats.conf", relativePath: "../../etc/nats.conf", settings: new Set(settings) };
}

/** The rendered lines without comment. */
function render(changes: Partial<ServerSettings> = {}): string[] {
  return renderServerConfig({ ...PLAIN, ...changes }).trim().split("\n").slice(1).map((line) => line.trim());
}

const FIXED = [
  'server_name: "harmonylite-node-7"',
  "debug: true",
  "trace: false",
  'log_file: ""',
  'logfile: ""',
  "syslog: false",
  'remote_syslog: ""',
];

Deno.test("a server alone listens on loopback and keeps its streams where it is told", () => {
  assert.deepEqual(render(), [
    'host: "127.0.0.1"',
    "port: -1",
    'jetstream { domain: "e-harmonylite" }',
    'store_dir: "/var/lib/app.db-harmonylite.nats/alone"',
    ...FIXED,
  ]);
});

Deno.test("monitor, cluster and user are rendered as configured", () => {
  const lines = render({
    monitor: { host: "::1", port: 8222 },
    cluster: {
      listen: { host: "0.0.0.0", port: 4223 },
      peers: ["nats://a:4223", "nats://u:p@b:4223"],
    },
    user: { name: "edge", password: "secret" },
  });
  for (
    const line of [
      'http: "[::1]:8222"',
      'name: "e-harmonylite"',
      'listen: "0.0.0.0:4223"',
      'routes: ["nats://a:4223", "nats://u:p@b:4223"]',
      'authorization { user: "edge", password: "secret" }',
    ]
  ) assert.ok(lines.includes(line), line);
  assert.ok(render({ user: { name: "t0ken", password: "" } }).includes('authorization { token: "t0ken" }'));
});

Deno.test("a leaf has no streams of its own, a hub that dials its leafs has them", () => {
  const remote = { urls: ["nats://hub:7422", "nats://hub2:7422"], hub: false };
  const leaf = render({ leafs: [remote] });
  assert.ok(
    leaf.includes('leafnodes { remotes: [{ urls: ["nats://hub:7422", "nats://hub2:7422"], hub: false }] }'),
  );
  assert.ok(leaf.includes('default_js_domain: { "$G": "e-harmonylite" }'));
  assert.equal(leaf.at(-1), "jetstream: false");
  assert.ok(!leaf.some((line) => line.startsWith("store_dir")));
  const hub = render({ leafs: [{ ...remote, hub: true }] });
  assert.ok(hub.includes('jetstream { domain: "e-harmonylite" }'));
  assert.ok(!hub.includes("jetstream: false"));
  assert.ok(!hub.some((line) => line.startsWith("default_js_domain")));
});

Deno.test("what the operator's file sets is left out of ours, whatever it calls it", () => {
  const monitor = { host: "127.0.0.1", port: 8222 };
  const left = (...settings: string[]): string[] => {
    const lines = render({ monitor, own: own(...settings) });
    return ["host", "port", "http", "jetstream", "store_dir"].filter((key) =>
      !lines.some((line) => line.startsWith(`${key}:`) || line.startsWith(`${key} {`))
    );
  };
  assert.deepEqual(left(), []);
  assert.deepEqual(left("listen"), ["host", "port"]);
  assert.deepEqual(left("net"), ["host"]);
  assert.deepEqual(left("port"), ["port"]);
  assert.deepEqual(left("http_port"), ["http"]);
  assert.deepEqual(left("monitor_port"), ["http"]);
  assert.deepEqual(left("jetstream", "jetstream.max_file"), ["jetstream"]);
  assert.deepEqual(left("jetstream", "jetstream.store_dir"), ["jetstream", "store_dir"]);
  assert.deepEqual(left("storedir"), ["store_dir"]);
});

Deno.test("the operator's file comes after ours and before what nobody may change", () => {
  const lines = render({ own: own("server_name", "debug", "logfile") });
  assert.ok(lines.indexOf("include '../../etc/nats.conf'") > lines.indexOf("port: -1"));
  assert.deepEqual(lines.slice(-FIXED.length), FIXED);
});

Deno.test("a user of ours is left to the operator's file, where there is one", () => {
  const lines = render({ own: own(), user: { name: "edge", password: "secret" } });
  assert.ok(!lines.some((line) => line.startsWith("authorization")));
});

Deno.test("a block that both have is refused, with both named", () => {
  const cluster = { listen: { host: "0.0.0.0", port: 1 }, peers: [] };
  const leafs = [{ urls: ["nats://hub:7422"], hub: false }];
  const refused = (changes: Partial<ServerSettings>, message: RegExp): void => {
    assert.throws(() => render(changes), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  };
  refused({ cluster, own: own("cluster") }, /nats\.cluster_addr: "\/etc\/nats\.conf" has a cluster block/);
  refused({ leafs, own: own("leaf") }, /nats\.leaf_servers: .* has a leafnodes block/);
});

Deno.test("no value breaks out of its quotes", () => {
  const storeDir = '/tmp/a "b" \\c $HOME\n}\x7f ü';
  assert.ok(render({ storeDir }).includes('store_dir: "/tmp/a \\"b\\" \\\\c $HOME\\x0a}\\x7f ü"'));
  const include = (relativePath: string): string | undefined =>
    render({ own: { ...own()!, relativePath } }).find((line) => line.startsWith("include"));
  assert.equal(include("a b.conf"), "include 'a b.conf'");
  assert.equal(include("it's.conf"), 'include "it\'s.conf"');
  assert.throws(() => include('it\'s "it".conf'), /its path holds quotes/);
});
