import assert from "node:assert/strict";
import { parseCompileOptions } from "./options.ts";

const HOST = "x86_64-unknown-linux-gnu";
const parse = (...args: string[]): unknown => parseCompileOptions(args, HOST);

Deno.test("what is built is for this machine, named harmonylite, unless told otherwise", () => {
  const defaults = {
    config: undefined,
    target: HOST,
    output: "harmonylite",
    portable: false,
    natsServer: undefined,
  };
  assert.deepEqual(parse(), defaults);
  assert.deepEqual(parse("--config", "c.toml"), { ...defaults, config: "c.toml" });
  const target = "aarch64-unknown-linux-gnu";
  assert.deepEqual(parse("--portable", "--target", target, "--nats-server", "n", "--output", "o"), {
    config: undefined,
    target,
    output: "o",
    portable: true,
    natsServer: "n",
  });
  assert.equal(parse("--help"), "help");
});

Deno.test("what cannot be built is refused with the reason", () => {
  assert.throws(() => parse("--target", "vax"), /Cannot build for "vax": the targets are x86_64/);
  assert.throws(() => parse("--target", "aarch64-apple-darwin"), /without --nats-server/);
  assert.throws(
    () => parse("--portable", "--target", "aarch64-apple-darwin", "--nats-server", "n"),
    /another system than Linux/,
  );
  assert.throws(() => parse("--portable", "--config", "c.toml"), /reads its configuration at each start/);
  assert.throws(() => parse("c.toml"), /Unexpected argument|positional/i);
});
