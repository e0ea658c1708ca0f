import assert from "node:assert/strict";
import { ServerLog } from "./server_log.ts";

function log(): { log: ServerLog; told: string[]; clock: { ms: number } } {
  const told: string[] = [];
  const clock = { ms: 0 };
  return { log: new ServerLog((level, text) => told.push(`${level} ${text}`), () => clock.ms), told, clock };
}

Deno.test("lines are passed on by level, those for debugging the server are not", () => {
  const { log: server, told } = log();
  const text = server.push("[47] 2026/01/31 12:00:00.000000 [INF] Server is ready");
  assert.equal(text, "Server is ready");
  server.push("[47] 2026/01/31 12:00:00.000000 [DBG] 127.0.0.1:1 - cid:5 - Client connection created");
  server.push("[47] [WRN] it is [odd]");
  server.push("[47] [ERR] Error trying to connect to route (attempt 1): dial tcp: connection refused");
  server.push("[47] 2026/01/31 12:00:00.000000 [FTL] broken");
  server.push("[47] 2026/01/31 12:00:00.000000 [INF] ");
  assert.deepEqual(told, [
    "info Server is ready",
    "warn it is [odd]",
    "warn Error trying to connect to route (attempt 1): dial tcp: connection refused",
    "error broken",
  ]);
});

Deno.test("a server that complains without end is cut short, and how much was cut is told", () => {
  const { log: server, told, clock } = log();
  for (let i = 0; i < 1_000; i++) server.push("[47] [ERR] again");
  assert.equal(told.length, 120);
  clock.ms = 60_000;
  server.push("[47] [ERR] and again");
  assert.deepEqual(told.slice(120), ["warn 880 more lines were left out", "error and again"]);
});

Deno.test("the reason of an end is the server's last error, else what it wrote without a level", () => {
  const { log: server } = log();
  const reason = (): string => server.reason ?? "";
  assert.equal(reason(), "");
  server.push("nats-server: my.conf:2:1: interface conversion: interface {} is string, not int64");
  server.push('my.conf:1:0: unknown field "jetstrem"');
  assert.equal(
    reason(),
    'my.conf:2:1: interface conversion: interface {} is string, not int64; my.conf:1:0: unknown field "jetstrem"',
  );
  for (let i = 0; i < 100; i++) server.push(`goroutine ${i}`);
  assert.ok(reason().length < 500);
  server.push("[47] [FTL] Can't listen");
  assert.equal(reason(), "Can't listen");
});
