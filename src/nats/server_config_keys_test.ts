import assert from "node:assert/strict";
import { settingsIn } from "./server_config_keys.ts";

function settings(files: Record<string, string>): string[] {
  return [...settingsIn("/etc/nats/main.conf", (path) => files[path]).keys()].sort();
}

function settingsOf(text: string): string[] {
  return settings({ "/etc/nats/main.conf": text });
}

Deno.test("settings are found in every way that nats-server allows to write them", () => {
  assert.deepEqual(settingsOf("port: 4222"), ["port"]);
  assert.deepEqual(settingsOf("Port = 4222; \"host\" 'a b', net=x\nhttp 8222"), [
    "host",
    "http",
    "net",
    "port",
  ]);
  assert.deepEqual(settingsOf("jetstream { store_dir: /x, Max_File: 1G }\nport: 1"), [
    "jetstream",
    "jetstream.max_file",
    "jetstream.store_dir",
    "port",
  ]);
  assert.deepEqual(settingsOf('{"listen": "a:1", "cluster": {"name": "x"}}'.slice(1, -1)), [
    "cluster",
    "cluster.name",
    "listen",
  ]);
});

Deno.test("what stands in comments, texts, blocks and lists is no setting of its own", () => {
  assert.deepEqual(settingsOf("# port: 1\n// host: x\ndebug: true # listen: 2 }\n"), ["debug"]);
  assert.deepEqual(settingsOf(`a: "port: 1 \\" } b: 2"\nc: 'host: }'\nd: true`), ["a", "c", "d"]);
  assert.deepEqual(settingsOf("a (\n port: 1\n)\nb: 1"), ["a", "b"]);
  assert.deepEqual(settingsOf("routes = [ nats://u:p@h:1, 'nats://x' ]\nport: 1"), ["port", "routes"]);
  assert.deepEqual(settingsOf("authorization { users = [ {user: a, password: $P} ] } port: 1"), [
    "authorization",
    "authorization.users",
    "authorization.users.password",
    "authorization.users.user",
    "port",
  ]);
});

Deno.test("included files count where they are included, relative to the file that includes them", () => {
  assert.deepEqual(
    settings({
      "/etc/nats/main.conf":
        "include ./more/a.conf\ncluster {\n include '../b.conf'\n}\ninclude \"gone.conf\"\n",
      "/etc/nats/more/a.conf": "port: 1\ninclude c.conf",
      "/etc/nats/more/c.conf": "http: 2",
      "/etc/b.conf": "listen: x:1",
    }),
    ["cluster", "cluster.listen", "http", "port"],
  );
  assert.deepEqual(settingsOf("include: yes"), ["include"]);
});

Deno.test("mistakes end the search, never hang it", () => {
  for (const text of ["a {", "a: [", 'a: "', "}", "]]", "a", ":", "a: }", "a (", "include main.conf\n"]) {
    assert.ok(settingsOf(text).length <= 1, text);
  }
});

Deno.test("the value of a setting that is a text is told", () => {
  const found = settingsIn(
    "a.conf",
    () => `listen: "0.0.0.0:4222"\nport = 4333; jetstream { store_dir: /x }`,
  );
  assert.deepEqual([...found], [
    ["listen", "0.0.0.0:4222"],
    ["port", "4333"],
    ["jetstream.store_dir", "/x"],
    ["jetstream", ""],
  ]);
});
