import assert from "node:assert/strict";
import { updateReadme } from "./readme.ts";
import { listOwn } from "../src/schema/own_tables.ts";
import { installCapture } from "../src/capture/change_log.ts";
import { COMMANDS } from "../src/cli/command.ts";
import { OPTIONS } from "../src/cli/options.ts";
import { Database } from "../src/sqlite/database.ts";
import { makeTempDir } from "../tests/support/temp.ts";
import manifest from "../deno.json" with { type: "json" };

const ROOT = new URL("../", import.meta.url);
const readme = await Deno.readTextFile(new URL("README.md", ROOT));

Deno.test("the tables of settings and metrics in the README are those of the source: if not, run deno task readme", async () => {
  assert.equal(await updateReadme(readme), readme);
});

Deno.test("a table in the README is replaced, and all that stands around it stays", async () => {
  const updated = await updateReadme(readme, {
    configuration: {
      source: "src/config/schema.ts",
      render: () => "| Key | Default |\n|---|---|\n| `new_key` | `[]` |\n",
    },
  });
  assert.match(updated, /\n\| `new_key` \| `\[\]` \|\n/);
  assert.ok(!updated.includes("| `db_path`"));
  assert.equal(await updateReadme(updated), readme);
});

Deno.test("a README without its marks, or with one twice, is refused", async () => {
  await assert.rejects(updateReadme("# HarmonyLite\n"), /does not hold "<!-- configuration/);
  await assert.rejects(updateReadme(readme + readme), /more than once/);
});

Deno.test("the README names the test command as .ci/run calls it", async () => {
  const gate = await Deno.readTextFile(new URL(".ci/run", ROOT));
  const command = /^exec (.*)$/m.exec(gate)?.[1] ?? "";
  assert.match(command, /task test$/);
  assert.ok(readme.includes(`\n${command}`), command);
});

Deno.test("the README names every command, option, task and dependency", () => {
  const words = [
    ...Object.keys(COMMANDS).map((name) => `\`${name}`),
    ...Object.keys(OPTIONS).map((name) => `--${name}`),
    ...Object.keys(manifest.tasks).map((name) => `task ${name}`),
    ...Object.keys(manifest.imports),
  ];
  assert.deepEqual(words.filter((word) => !readme.includes(word)), []);
});

Deno.test("the README names every room", () => {
  const rooms = [...Deno.readDirSync(new URL("src", ROOT))].map(({ name }) => `\`src/${name}/\``);
  assert.deepEqual(rooms.filter((room) => !readme.includes(room)), []);
});

Deno.test("the README names all that is put into a user's database", async () => {
  await using dir = await makeTempDir();
  const path = dir.file("app.db");
  await Deno.writeFile(path, new Uint8Array());
  using database = Database.open(path);
  database.exec("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE)");
  await installCapture(database, { include: [], exclude: [] });
  const names = [...listOwn(database, "table"), ...listOwn(database, "trigger")];
  assert.ok(names.length > 10);
  const documented = names.map((name) => name.replace("__users_", "__<table>_"));
  assert.deepEqual(documented.filter((name) => !readme.includes(`\`${name}\``)), []);
});
