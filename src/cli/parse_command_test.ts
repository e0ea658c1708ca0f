import assert from "node:assert/strict";
import fc from "fast-check";
import { type Command, COMMANDS, UsageError } from "./command.ts";
import { parseCommand } from "./parse_command.ts";
import { OPTIONS } from "./options.ts";

function parse(line: string): Command {
  return parseCommand(line.split(" ").filter((word) => word !== ""));
}

function run(path?: string): Command {
  return { name: "run", choice: { path, overrides: [] } };
}

Deno.test("run is what happens without a command, in either spelling", () => {
  assert.deepEqual(parse(""), run());
  for (const line of ["run --config x.toml", "-config x.toml", "--config=x.toml", "-config=x.toml run"]) {
    assert.deepEqual(parse(line), run("x.toml"), line);
  }
});

Deno.test("a command may be an option with one dash or two, before or after the others", () => {
  const expected = { name: "check", choice: { path: "x.toml", overrides: [] } };
  for (
    const line of [
      "-config x.toml -check",
      "-check -config x.toml",
      "--check --config x.toml",
      "check -config x.toml",
    ]
  ) {
    assert.deepEqual(parse(line), expected, line);
  }
  assert.deepEqual(parse("-version"), { name: "version" });
  assert.deepEqual(parse("-cleanup"), parse("cleanup"));
  assert.deepEqual(parse("-stop -config x.toml"), { ...expected, name: "stop" });
  assert.deepEqual(parse("-schema-status"), parse("schema"));
  assert.deepEqual(parse("-schema-status-cluster -json"), parse("schema status --cluster --json"));
  assert.equal((parse("-schema-status-cluster") as { cluster?: boolean }).cluster, true);
});

Deno.test("settings given as options keep their name, so that an error can tell it", () => {
  assert.deepEqual(parse("-node-id 7 -verbose --db-path=a.db"), {
    name: "run",
    choice: {
      path: undefined,
      overrides: [
        { option: "--node-id", key: "node_id", text: "7" },
        { option: "--verbose", key: "logging.verbose", text: "true" },
        { option: "--db-path", key: "db_path", text: "a.db" },
      ],
    },
  });
});

Deno.test("cleanup and init take their own options", () => {
  const choice = { path: "x", overrides: [] };
  assert.deepEqual(parse("cleanup --all -config x"), {
    name: "cleanup",
    choice,
    all: true,
    discardPending: false,
  });
  assert.deepEqual(parse("-config x -cleanup -discard-pending"), {
    name: "cleanup",
    choice,
    all: false,
    discardPending: true,
  });
  assert.deepEqual(parse("init"), { name: "init", path: "config.toml", force: false, overrides: [] });
  assert.deepEqual(parse("init a.toml --force"), {
    name: "init",
    path: "a.toml",
    force: true,
    overrides: [],
  });
});

Deno.test("servers of the cluster are named as the Go program names them, with one dash or two", () => {
  const expected = [
    { option: "--cluster-addr", key: "nats.cluster_addr", text: ":4221" },
    { option: "--cluster-peers", key: "nats.cluster_peers", text: "nats://b:4221,dns://c:4221" },
    { option: "--leaf-servers", key: "nats.leaf_servers", text: "nats://hub:7422/?hub=true" },
  ];
  for (const dash of ["-", "--"]) {
    const line = expected.map(({ option, text }) => `${dash}${option.slice(2)} ${text}`).join(" ");
    assert.deepEqual(parse(`${dash}config x ${line}`), {
      name: "run",
      choice: { path: "x", overrides: expected },
    });
  }
});

Deno.test("switches can be turned off, as Go programs allow", () => {
  assert.deepEqual(parse("-cleanup=false -config x"), run("x"));
  assert.deepEqual(parse("cleanup -all=true -all=false"), parse("cleanup"));
});

Deno.test("help can be asked for everywhere", () => {
  assert.deepEqual(parse("help"), { name: "help", topic: undefined });
  for (const line of ["-h", "--help", "-help"]) {
    assert.deepEqual(parse(line), { name: "help", topic: undefined }, line);
  }
  for (const line of ["help run", "run --help", "run -h --config x"]) {
    assert.deepEqual(parse(line), { name: "help", topic: "run" }, line);
  }
});

Deno.test("what cannot be understood is a usage error that names the nearest", () => {
  const refuse = (line: string, message: RegExp): void => {
    assert.throws(
      () => parse(line),
      (error) => error instanceof UsageError && message.test(error.message),
      line,
    );
  };
  refuse("chekc", /Cannot understand "chekc": no such command; did you mean "check"\?/);
  refuse("--confg x", /Cannot understand "--confg": no such option; did you mean "--config"\?/);
  refuse("-unheard-of", /no such option$/);
  refuse("docter", /no such command; did you mean "doctor"\?/);
  refuse("-x", /Cannot understand "--x"/);
  refuse("--config", /--config: it needs a value, --config FILE/);
  refuse("--config --verbose", /--config: it needs a value/);
  refuse("--config=", /--config: it needs a value/);
  refuse("--verbose=3", /--verbose=3: it takes no value/);
  refuse("run check", /Cannot understand "check": run takes no such argument/);
  refuse("run -cleanup", /Cannot do "run" and "cleanup" at once/);
  refuse("run --force", /Cannot use --force with "run": it goes with init/);
  refuse("version --config x", /Cannot use --config with "version"/);
  refuse("init a b", /Cannot understand "b"/);
});

Deno.test("any words are either a command or a usage error", () => {
  const names = [...Object.keys(OPTIONS), ...Object.keys(COMMANDS)];
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom("--", "-", "-h", "__proto__", "--constructor", "x.toml"),
    fc.tuple(
      fc.constantFrom("", "-", "--"),
      fc.constantFrom(...names),
      fc.constantFrom("", "=", "=true", "=x"),
    )
      .map((parts) => parts.join("")),
  );
  fc.assert(fc.property(fc.array(word, { maxLength: 5 }), (args) => {
    try {
      assert.ok(parseCommand(args).name in COMMANDS);
    } catch (error) {
      assert.ok(error instanceof UsageError, `${error} for ${JSON.stringify(args)}`);
    }
  }));
});

Deno.test("conflicts are listed, or one is put back, each with its own options", () => {
  const choice = { path: "x", overrides: [] };
  const list = { name: "conflicts", action: "list", choice, json: false, table: undefined, limit: 20 };
  assert.deepEqual(parse("conflicts -config x"), list);
  assert.deepEqual(parse("-config x -conflicts list --json --table t --limit 3"), {
    ...list,
    json: true,
    table: "t",
    limit: 3,
  });
  const restore = { name: "conflicts", action: "restore", choice, id: 12n, replace: false };
  assert.deepEqual(parse("conflicts restore 12 -config x"), restore);
  assert.deepEqual(parse("conflicts restore --replace -config x 12"), { ...restore, replace: true });
  for (
    const [line, message] of [
      ["conflicts restore", /number of a conflict must be a whole number/],
      ["conflicts restore 0", /1 or more/],
      ["conflicts restore 1 2", /takes no such argument/],
      ["conflicts restore 1 --json", /Cannot use --json with "conflicts restore"/],
      ["conflicts list --replace", /Cannot use --replace with "conflicts list"/],
      ["conflicts list --limit x", /--limit must be a whole number/],
      ["conflicts lst", /did you mean "list"/],
      ["run --json", /it goes with .*verify, snapshot, .*conflicts/],
    ] as const
  ) {
    assert.throws(
      () => parse(line),
      (error) => error instanceof UsageError && message.test(error.message),
      line,
    );
  }
});

Deno.test("a snapshot is saved, listed, verified, downloaded and restored by their words, the first also as it used to be", () => {
  const common = { name: "snapshot", choice: { path: "x", overrides: [] }, json: false };
  const save = { ...common, action: "save" };
  for (const line of ["snapshot save -config x", "-config x -save-snapshot", "--save-snapshot --config x"]) {
    assert.deepEqual(parse(line), save, line);
  }
  assert.deepEqual(parse("-config x -save-snapshot=false"), run("x"));
  assert.deepEqual(parse("snapshot -config x -json"), { ...common, action: "list", json: true });
  assert.deepEqual(parse("snapshot verify -config x"), {
    ...common,
    action: "verify",
    generation: undefined,
  });
  const output = { generation: "1", output: "a.db", force: false };
  assert.deepEqual(parse("snapshot download --output a.db -config x"), {
    ...common,
    action: "download",
    ...output,
  });
  const until = parse("snapshot restore --until 2026-11-21T15:54:03.5Z --output a.db");
  assert.deepEqual([until.name === "snapshot" && until.action === "restore" && until.until], [
    1_795_276_443_500_000_000n,
  ]);
  assert.deepEqual(parse("snapshot restore -generation 2 -output a.db --force -config x"), {
    until: undefined,
    ...common,
    action: "restore",
    generation: "2",
    output: "a.db",
    force: true,
  });
  const wrong = [
    "snapshot lst",
    "snapshot save twice",
    "snapshot save --output a.db",
    "snapshot list --generation 1",
    "snapshot verify --force",
    "snapshot download",
    "snapshot restore --output a.db",
    "snapshot restore --generation 1",
    "run -save-snapshot",
    "-save-snapshot=7",
    "check --output a.db",
  ];
  for (const line of wrong) assert.throws(() => parse(line), UsageError, line);
});

Deno.test("the doctor and ids take their own options", () => {
  const choice = { path: undefined, overrides: [] };
  const plain = { name: "doctor", choice, json: false, fix: false, bundle: undefined };
  assert.deepEqual(parse("doctor"), plain);
  assert.deepEqual(parse("doctor --fix --json"), { ...plain, json: true, fix: true });
  assert.deepEqual(parse("-doctor --bundle x.tar.gz"), { ...plain, bundle: "x.tar.gz" });
  const range = { first: undefined, last: undefined };
  assert.deepEqual(parse("ids"), { name: "ids", action: "list", choice, range, json: false });
  assert.deepEqual(parse("ids set t --first 5 --last 9"), {
    name: "ids",
    action: "set",
    choice,
    range: { first: 5n, last: 9n },
    table: "t",
  });
  assert.throws(() => parse("run --fix"), UsageError);
  assert.throws(() => parse("ids set t --json"), UsageError);
  assert.throws(() => parse("ids --first x --last 2"), UsageError);
});
