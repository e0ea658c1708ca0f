import assert from "node:assert/strict";
import { makeTempDir } from "../../tests/support/temp.ts";
import { captureLogger, type LoggerOptions, openLogger, silentLogger } from "./logger.ts";

/** The lines that `tell` makes a logger write. */
async function linesOf(
  options: LoggerOptions,
  tell: (logger: Awaited<ReturnType<typeof openLogger>>) => void,
): Promise<string[]> {
  let text = "";
  const output = {
    writeSync: (bytes: Uint8Array): number => (text += new TextDecoder().decode(bytes), bytes.length),
  };
  await using logger = await openLogger({ now: () => Date.UTC(2026, 0, 31), ...options, output });
  tell(logger);
  return text.split("\n").slice(0, -1);
}

Deno.test("the console format has time, level, the message word for word, and key=value", async () => {
  const lines = await linesOf(
    {},
    (logger) => logger.warn("Unable to publish", { shard: 2n, error: new Error("a b") }),
  );
  assert.deepEqual(lines, ['2026-01-31T00:00:00.000Z WARN  Unable to publish shard=2 error="a b"']);
});

Deno.test("the json format is one object a line, with bigints as texts", async () => {
  const [line, ...rest] = await linesOf({ format: "json" }, (logger) => {
    logger.info("Waiting checkpoint...", { node: 2n ** 63n, text: "two\nlines" });
  });
  assert.deepEqual(rest, []);
  assert.deepEqual(JSON.parse(line ?? ""), {
    time: "2026-01-31T00:00:00.000Z",
    level: "info",
    message: "Waiting checkpoint...",
    properties: { node: "9223372036854775808", text: "two\nlines" },
  });
});

Deno.test("debug messages are told only when verbose", async () => {
  assert.equal((await linesOf({}, (logger) => logger.debug("x"))).length, 0);
  assert.equal((await linesOf({ verbose: true }, (logger) => logger.debug("x"))).length, 1);
});

Deno.test("no secret reaches the log, in either format", async () => {
  for (const format of ["console", "json"] as const) {
    const [line] = await linesOf({ format, secrets: ['hunter"22'] }, (logger) => {
      logger.error('login hunter"22 failed', {
        url: "nats://u:pw123@host",
        nested: { password: 'hunter"22' },
      });
    });
    assert.doesNotMatch(line ?? "", /hunter|pw123/);
  }
});

Deno.test("text of another node cannot forge a line or move the cursor", async () => {
  const lines = await linesOf({}, (logger) => logger.info("row\n2026 ERROR fake", { table: "\x1b[2Jx" }));
  assert.equal(lines.length, 1);
  assert.ok(!lines.join("").includes("\x1b"));
});

Deno.test("the file gets the same lines, appended, and is closed to others", async () => {
  await using dir = await makeTempDir();
  const file = dir.file("harmonylite.log");
  for (const word of ["one", "two"]) await linesOf({ file }, (logger) => logger.info(word));
  assert.match(await Deno.readTextFile(file), /INFO {2}one\n.*INFO {2}two\n$/);
  assert.equal((await Deno.stat(file)).mode! & 0o777, 0o600);
});

Deno.test("a log file that cannot be opened is a ConfigError that names it", async () => {
  await using dir = await makeTempDir();
  const opening = async (): Promise<void> => {
    await using _logger = await openLogger({ file: dir.file("missing/x.log") });
  };
  await assert.rejects(opening(), { code: "INVALID_CONFIG", message: /Cannot open the log file ".*missing/ });
});

Deno.test("a closed pipe or a value that cannot be shown stops nothing", async () => {
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  const [line] = await linesOf({ format: "json" }, (logger) => logger.info("x", { circular }));
  assert.match(line ?? "", /"message":"x".*cannot be shown/);
  const broken = {
    writeSync: (): number => {
      throw new Error("broken pipe");
    },
  };
  await using logger = await openLogger({ output: broken });
  logger.error("nobody hears this");
});

Deno.test("captureLogger keeps what is told, silentLogger nothing", () => {
  const logger = captureLogger();
  logger.warn("a", { b: 1 });
  silentLogger.warn("a");
  assert.deepEqual(logger.lines, [{ level: "warn", message: "a", properties: { b: 1 } }]);
});
