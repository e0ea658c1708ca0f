import assert from "node:assert/strict";
import { startNatsServer } from "./nats_server.ts";

async function greeting(port: number): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const buffer = new Uint8Array(512);
  const length = await connection.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, length ?? 0));
}

Deno.test("a server comes back on its port after a crash and after a restart", async () => {
  await using server = await startNatsServer();
  const { port } = server;
  await server.kill();
  await assert.rejects(greeting(port), Deno.errors.ConnectionRefused);
  await server.start();
  assert.match(await greeting(port), /^INFO .*"jetstream":true/);
  await server.restart();
  assert.match(await greeting(port), /^INFO /);
  assert.equal(server.port, port);
});

Deno.test("a server with a wrong configuration fails with its own words", async () => {
  await assert.rejects(
    startNatsServer({ config: "no_such_setting: {{" }),
    /Cannot start nats-server[\s\S]*Parse error/,
  );
});

Deno.test("a server takes its configuration", async () => {
  await using server = await startNatsServer({ config: "max_payload: 65536" });
  assert.match(await greeting(server.port), /"max_payload":65536/);
});
