import assert from "node:assert/strict";
import { parseCompileOptions } from "./options.ts";

const HOST = "x86_64-unknown-linux-gnu";
const ARM = "aarch64-unknown-linux-gnu";
const parse = (...args: string[]): unknown => parseCompileOptions(args, HOST);

Deno.test("what is built is for this machine, named harmonylite, unless told otherwise", () => {
  const defaults = {
    config: undefined,
    target: HOST,
    output: "harmonylite",
    portable: false,
    natsServer: undefined,
    runtime: undefined,
  };
  assert.deepEqual(parse(), defaults);
  assert.deepEqual(parse("--config", "c.toml"), { ...defaults, config: "c.toml" });
  const portable = ["--portable", "--target", ARM, "--nats-server", "n", "--runtime", "r", "--output", "o"];
  assert.deepEqual(parse(...portable), {
    config: undefined,
    target: ARM,
    output: "o",
    portable: true,
    natsServer: "n",
    runtime: "r",
  });
  assert.equal(parse("--help"), "help");
});

Deno.test("what cannot be built is refused with the reason", () => {
  assert.throws(() => parse("--target", "vax"), /Cannot build for "vax": the targets are x86_64/);
  assert.throws(
    () => parse("--target", ARM),
    /without --nats-server: what this machine has does not run there/,
  );
  assert.throws(
    () => parse("--portable", "--target", ARM, "--nats-server", "n"),
    /without --nats-server and --runtime/,
  );
  const apple = ["--target", "aarch64-apple-darwin", "--nats-server", "n", "--runtime", "r"];
  assert.throws(() => parse("--portable", ...apple), /another system than Linux/);
  assert.throws(() => parse("--runtime", "r"), /Cannot use --runtime without --portable/);
  assert.throws(() => parse("--portable", "--config", "c.toml"), /reads its configuration at each start/);
  assert.throws(() => parse("c.toml"), /Unexpected argument|positional/i);
});
