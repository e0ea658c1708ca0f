import assert from "node:assert/strict";
import { makeTempDir } from "../../tests/support/temp.ts";
import { loadConfig, nameMachine } from "./load.ts";

Deno.test("a named file that is missing is an error that says how to make one", async () => {
  await assert.rejects(loadConfig({ path: "/nowhere/x.toml", environment: {} }), {
    code: "INVALID_CONFIG",
    message: 'Cannot read the configuration "/nowhere/x.toml": there is no such file',
    hint: /harmonylite init/,
  });
});

Deno.test("without a name the first file that exists is taken", async () => {
  await using dir = await makeTempDir();
  await Deno.writeTextFile(dir.file("second.toml"), 'db_path = "/second.db"');
  const searchPaths = [dir.file("first.toml"), dir.file("second.toml")];
  const loaded = await loadConfig({ searchPaths, environment: {} });
  assert.equal(loaded.config.dbPath, "/second.db");
  assert.equal(loaded.file, dir.file("second.toml"));
});

Deno.test("no file at all is an error, unless the environment names the database", async () => {
  const searchPaths = ["/nowhere/a.toml", "/nowhere/b.toml"];
  await assert.rejects(loadConfig({ searchPaths, environment: {} }), {
    message: "Cannot find a configuration: there is no /nowhere/a.toml and no /nowhere/b.toml",
  });
  const loaded = await loadConfig({ searchPaths, environment: { HARMONYLITE_DB_PATH: "/e.db" } });
  assert.equal(loaded.config.dbPath, "/e.db");
  assert.equal(loaded.file, undefined);
});

Deno.test("a mistyped variable is noted; those of others are not", async () => {
  const environment = {
    HARMONYLITE_DB_PATH: "/e.db",
    HARMONYLITE_NODEID: "1",
    HARMONYLITE_PORT_8090_TCP: "x",
  };
  const { notes } = await loadConfig({ searchPaths: [], environment });
  const about = notes.filter((note) => note.includes("HARMONYLITE_"));
  assert.deepEqual(about, [
    "environment variable HARMONYLITE_NODEID is not a setting; did you mean HARMONYLITE_NODE_ID?",
  ]);
});

Deno.test("what may come as a surprise is noted", async () => {
  const { notes } = await loadConfig({ searchPaths: [], environment: { HARMONYLITE_DB_PATH: "/e.db" } });
  assert.ok(notes.some((note) => note.includes("nats.urls is empty")));
});

Deno.test("the machine id is taken from the first file that holds one, else the host name", async () => {
  await using dir = await makeTempDir();
  await Deno.writeTextFile(dir.file("image"), "uninitialized\n");
  await Deno.writeTextFile(dir.file("real"), "0123456789abcdef0123456789abcdef\n");
  assert.deepEqual(nameMachine([dir.file("none"), dir.file("image"), dir.file("real")]), {
    id: "0123456789abcdef0123456789abcdef",
    source: "machine id",
  });
  assert.deepEqual(nameMachine([dir.file("image")]), { id: Deno.hostname(), source: "host name" });
});
